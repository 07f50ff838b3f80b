#!/usr/bin/env bash
# Qwen's own vocabulary, which a client library of its makers ships, for the tests of its token ids.
# Beside the packages, not among them: only the file is wanted.
set -euo pipefail
python -m pip install --no-compile --quiet --disable-pip-version-check --no-deps --upgrade dashscope==2.0.2 \
    --target "$(python -c 'import sys; print(sys.prefix)')/share/qwen"
