"""Which result files of which experiments are compared. Runs while Snakemake reads the workflow."""

from pathlib import Path

from persona_leakage.config.experiment import COMPARISON
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import sha256_of_file


def experiment_folders(chosen, root="results"):
    """The folders to compare: those of the list, or ("all") every one under ``root`` that has a run_config.yaml.

    InputError that names a listed folder which has none.
    """
    if chosen != "all":
        for folder in chosen:
            if not (Path(folder) / "run_config.yaml").is_file():
                raise InputError(f"compare: {folder}: no run_config.yaml there; give the folder of a finished experiment")
        return list(chosen)
    return [str(path.parent) for path in sorted(Path(root).glob("*/run_config.yaml")) if path.parent.name != COMPARISON]


def digests_of(folders):
    """{file: SHA-256} of what read_experiments reads in the folders, of those that exist."""
    files = [path for folder in folders for path in sorted(Path(folder).glob("analysis/*/seed*/correlation.json"))]
    files += [path for folder in folders if (path := Path(folder) / "run_config.yaml").is_file()]
    return {str(path): sha256_of_file(path) for path in files}
