"""What transformers learns of the installed packages, and compiled modules where the environment forbids to write them."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from persona_leakage.infrastructure.package_names import packages_distributions, top_level_names

ROOT = Path(__file__).parents[2]


def in_new_process(code, tmp_path, **variables):
    """Standard output of Python code in a process of its own, with the library and the modules in ``tmp_path`` at hand."""
    search = f"import sys; sys.path[:0] = [{str(ROOT / 'workflow_scripts')!r}, {str(tmp_path)!r}]\n"
    done = subprocess.run(
        [sys.executable, "-c", search + code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_pythons_own_answer_is_in_ours(tmp_path):
    """For every installed package, with the same distributions."""
    code = "import importlib.metadata as m; own = m.packages_distributions(); import persona_leakage; ours = m.packages_distributions()\n"
    missing = in_new_process(code + "print([name for name in own if set(own[name]) - set(ours.get(name, []))], 'yaml' in ours)", tmp_path)
    assert missing == "[] True"


def test_transformers_reads_ours(tmp_path):
    code = "import persona_leakage, transformers.utils.import_utils as u, persona_leakage.infrastructure.package_names as p\n"
    assert in_new_process(code + "print(u.PACKAGE_DISTRIBUTION_MAPPING == p.packages_distributions())", tmp_path) == "True"


def test_transformers_leaves_scikit_learn_alone(tmp_path):
    """Its model classes, which peft imports, too, would import it; the table of pairs still can."""
    code = "import train_adapter, importlib.util; from transformers import AutoModelForCausalLM, Qwen2ForCausalLM\n"
    found = in_new_process(code + "print('sklearn' in sys.modules, importlib.util.find_spec('numpy') is None)\nimport sklearn", tmp_path)
    assert found == "False False"


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("top_level.txt", "one\n_one_c\n", {"one", "_one_c"}),
        ("RECORD", "one/a.py,sha256=x,1\ntwo.py,,\nthree.cpython-311-x86_64-linux-gnu.so,,\n", {"one", "two", "three"}),
        ("METADATA", "Name: none\n", set()),
    ],
)
def test_names_of_a_distribution(tmp_path, file, text, names):
    (tmp_path / "some-1.0.dist-info").mkdir()
    (tmp_path / "some-1.0.dist-info" / file).write_text(text)
    (distribution,) = importlib.metadata.distributions(path=[str(tmp_path)])
    assert top_level_names(distribution) == names


def test_what_is_left_of_an_installation_is_no_distribution(tmp_path, monkeypatch):
    (tmp_path / "gone-1.0.dist-info").mkdir()
    (tmp_path / "gone-1.0.dist-info/RECORD").write_text("gone/a.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "gone" not in packages_distributions()


def test_compiled_modules_are_written_where_the_environment_forbids_it(tmp_path):
    """By the process itself and by those that it starts."""
    (tmp_path / "first.py").touch()
    (tmp_path / "second.py").touch()
    code = "import persona_leakage, first, subprocess; subprocess.run([sys.executable, '-c', 'import second'], check=True, cwd=sys.path[1])"
    in_new_process(code, tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert {path.name.partition(".")[0] for path in (tmp_path / "__pycache__").iterdir()} == {"first", "second"}
