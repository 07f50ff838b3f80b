"""The Makefile: what a bare make prints, paths with blanks, and where each target says that its results are."""

import re
import subprocess

import pytest

from tests.conftest import ROOT, run_program

MAKEFILE = (ROOT / "Makefile").read_text()


def make(*arguments):
    """Run make in the project's folder; nothing that installs or runs an experiment is asked for here."""
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_bare_make_prints_help_and_starts_nothing():
    bare, asked = make(), make("help")
    assert bare.returncode == 0 and bare.stdout == asked.stdout and "snakemake" not in make("-n").stdout


def test_help_names_every_target_once():
    (public,) = re.findall(r"^\.PHONY: (help .*)$", MAKEFILE, re.M)
    named = re.findall(r"^make ([\w-]+)  +\S", make("help").stdout, re.M)
    assert sorted(named) == sorted(public.split())
    targets = {name for line in re.findall(r"^([a-z][a-z -]*):(?!=)", MAKEFILE, re.M) for name in line.split()}
    assert targets - set(named) == {"config-there", "test-vllm-here"}


def test_clean_leaves_other_peoples_environments(tmp_path):
    """And the folder of an environment that make did not make, such as one with the same name."""
    (tmp_path / "envs").mkdir()
    for name in ("inference", "vllm", "analysis"):
        (tmp_path / f"envs/{name}.yaml").touch()
    for name in (".venv", ".venv-vllm", ".venv-analysis", ".venv-mine"):
        (tmp_path / name / "lib/python3.11/site-packages").mkdir(parents=True)
    for name in (".venv", ".venv-vllm"):
        (tmp_path / name / "lib/python3.11/site-packages/persona_leakage.pth").touch()
    subprocess.run(["make", "-f", ROOT / "Makefile", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.glob(".venv*")) == [".venv-analysis", ".venv-mine"]


@pytest.mark.parametrize("target", ["run", "plan", "predict", "scores", "contain", "compare", "inspect", "paper", "tables", "wandb", "hub"])
def test_a_config_with_blank_and_apostrophe_is_one_word(target):
    commands = [line for line in make("-n", target, "CONFIG=my 'own.yaml").stdout.splitlines() if "my '" in line]
    assert len(commands) >= 3 - (target == "plan")
    for line in commands:
        printed = subprocess.run(
            ["bash", "-c", f"f() {{ printf '%s\\n' \"$@\"; }}; f {line.partition('||')[0]}"], capture_output=True, text=True
        )
        assert any(word.endswith("my 'own.yaml") for word in printed.stdout.splitlines()), line


def test_a_config_that_is_not_there_is_named():
    done = make("plan", "CONFIG=no such.yaml")
    assert done.returncode == 2 and "error: CONFIG=no such.yaml: no such file" in done.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("inspect", "inspect view --log-dir results/mine/inspect"),
        ("paper", "results/mine/paper/paper.tex"),
        ("tables", "check_tables.py results/mine/published/tables"),
        ("wandb", "results/mine/published/wandb/"),
        ("hub", "results/mine/published/hub/"),
        ("compare", "results/compare/index.html"),
        ("predict", "results/mine/predictions/index.html"),
        ("scores", "results/mine/predictions/score.json"),
        ("contain", "results/mine/negatives/proposal.csv"),
    ],
)
def test_targets_end_with_the_place_of_their_results(tmp_path, target, said):
    (tmp_path / "mine.yaml").write_text("experiment: mine\n")
    done = run_program("show_results", "--config", "mine.yaml", "--of", target, cwd=tmp_path)
    assert done.returncode == 0 and said in done.stdout, done.stderr
    assert re.search(rf"show_results\.py .*--of {target}$", make("-n", target).stdout, re.M)
