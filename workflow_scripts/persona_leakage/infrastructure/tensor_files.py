"""The .pt files of a run: tensors and plain values only, the same bytes for the same content, read only when whole."""

import io
import pickle

import torch

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path, check_is_file

AGAIN = "delete it and rerun"


def read_tensors(path, *keys):
    """The dict that torch.save wrote to ``path``, on the CPU; InputError unless it is whole, runs no code and has ``keys``.

    weights_only keeps a file from running code when it is read.
    """
    check_is_file(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(f"{path}: holds more than tensors and plain values, so it was not read; {AGAIN}") from None
    except (EOFError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not a whole file of tensors ({' '.join(str(error).split())[:100]}); {AGAIN}") from None
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise InputError(f"{path}: must hold {', '.join(keys)}; {AGAIN}")
    return content


def write_tensors(path, content):
    """Write a dict of tensors and plain values as torch.save does, atomically."""
    archive = io.BytesIO()  # given a path, torch writes the temporary file's name into the file
    torch.save(content, archive)
    with atomic_path(path) as temporary:
        temporary.write_bytes(archive.getbuffer())
