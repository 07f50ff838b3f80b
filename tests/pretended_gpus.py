"""Devices that are not there, as nvidia-smi lists them."""

import os

LISTING = (
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)\n"
    "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-bbbb-2)\n"
    "  MIG 1g.10gb Device 0: (UUID: MIG-cccc-3)\n"
    "  MIG 1g.10gb Device 1: (UUID: MIG-dddd-4)\n"
    "GPU 2: NVIDIA RTX A6000 (UUID: GPU-eeee-5)\n"
)


def install_nvidia_smi(folder, monkeypatch, output, code=0):
    """Put an nvidia-smi with this output and exit code first in PATH."""
    program = folder / "bin/nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\ncat <<'end'\n{output}\nend\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
