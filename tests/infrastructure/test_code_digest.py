"""What of the project's code counts: what can change a result does, what only speaks to readers and users does not."""

import shutil
import subprocess
import sys

import pytest

from persona_leakage.infrastructure.code_digest import NOT_COUNTED, digest_of_code, files_of_program, is_counted
from tests.conftest import ROOT

CODE = b'''"""Half of a number."""

import math


def half(number):
    """Half of it."""
    # not of a text
    if not isinstance(number, int):
        raise ValueError(f"{number} is no number", 2)
    print("halving", number)
    return number / 2


TEXT = """
# a line of the text

"""
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Half of a number", b"A half"),
        (b"Half of it", b"What is half of it"),
        (b"    # not of a text\n", b"\n\n# another\n"),
        (b"is no number", b"must be a number"),
        (b'{number} is no number", 2', b'no number"'),
        (b'"halving", number', b'"half of", number, "is wanted"'),
    ],
)
def test_what_is_only_read_counts_for_nothing(old, new):
    assert old in CODE
    assert digest_of_code(CODE.replace(old, new)) == digest_of_code(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"number / 2", b"number / 3"),
        (b"ValueError", b"TypeError"),
        (b"import math", b"import math, os"),
        (b"# a line of the text", b"# another line of the text"),
        (b"text\n\n", b"text\n"),
        (b"not isinstance", b"isinstance"),
    ],
)
def test_what_is_computed_counts(old, new):
    assert old in CODE
    assert digest_of_code(CODE.replace(old, new)) != digest_of_code(CODE)


def test_a_file_that_is_no_python_counts_whole():
    assert digest_of_code(b"one (") != digest_of_code(b"two (")


def test_programs_depend_on_what_they_import_but_for_what_changes_no_number():
    files = set(files_of_program(ROOT / "workflow_scripts/train_adapter.py"))
    assert {"train_adapter.py", "loop.py", "lora.py", "seeds.py", "__init__.py"} <= {path.name for path in files}
    library = ROOT / "workflow_scripts/persona_leakage"
    assert all(is_counted(path, library) for path in files)
    assert all((library / name).exists() for name in NOT_COUNTED), "a module that is not there any more"


def test_a_figure_depends_on_its_own_module():
    """plot_figure.py imports it by name; what a figure's module imports counts too, the modules of other figures do not."""
    scripts = ROOT / "workflow_scripts"
    figures = scripts / "persona_leakage/figures"
    files = {name: set(files_of_program(scripts / "plot_figure.py", figures / f"{name}.py")) for name in ("scatter", "layers", "heat_map")}
    program = {scripts / "plot_figure.py", figures / "style.py", figures / "fonts.py"}
    assert all(program | {figures / f"{name}.py"} <= found for name, found in files.items())
    assert figures / "layers.py" not in files["scatter"] and figures / "scatter.py" not in files["layers"]
    assert figures / "marks.py" in files["heat_map"] - files["layers"]
    assert scripts / "persona_leakage/statistics/leakage/correlations.py" in files["scatter"] - files["layers"]


@pytest.fixture
def small_project(tmp_path):
    """A copy of the library's code digests with a program that imports modules of two packages with the same file name."""
    library = tmp_path / "workflow_scripts/persona_leakage"
    for package in ("geometry", "statistics/core"):
        (library / package).mkdir(parents=True)
        (library / package / "__init__.py").touch()
        (library / package / "build.py").write_text("NUMBER = 1\n")
    (library / "statistics/__init__.py").touch()
    (library / "infrastructure").mkdir()
    needed = ("__init__", "code_digest", "provenance", "files", "cli", "gpu_lease", "package_names")
    for name in ("__init__", *(f"infrastructure/{name}" for name in needed)):
        shutil.copy(ROOT / f"workflow_scripts/persona_leakage/{name}.py", library / f"{name}.py")
    (library.parent / "program.py").write_text(
        "import persona_leakage.geometry.build\nfrom persona_leakage.statistics.core import build\n"
        "from persona_leakage.infrastructure.provenance import loaded_code_digest\nprint(loaded_code_digest())\n"
    )
    return library


def run_small(library):
    return subprocess.run([sys.executable, library.parent / "program.py"], capture_output=True, text=True, check=True).stdout


def test_modules_of_packages_count_by_their_path(small_project):
    """Kept work of other code is not used: an edit in a sub-package changes the digest, whichever of two like-named files it is in."""
    files = {
        str(path.relative_to(small_project))
        for path in files_of_program(small_project.parent / "program.py")
        if path.is_relative_to(small_project)
    }
    assert {"geometry/build.py", "statistics/core/build.py", "statistics/__init__.py"} <= files
    digests = [run_small(small_project)]
    for package in ("geometry", "statistics/core"):
        (small_project / package / "build.py").write_text("NUMBER = 2\n")
        digests.append(run_small(small_project))
    assert len(set(digests)) == 3
    (small_project / "geometry/build.py").write_text("NUMBER = 1\n")
    assert run_small(small_project) not in digests, "one of the two edited: not the same as the other"
