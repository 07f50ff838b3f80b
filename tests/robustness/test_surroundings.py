"""The user's environment stays outside: variables, matplotlib's settings, fonts, homes, folders, line ends."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from matplotlib.text import Text

from persona_leakage.figures.fonts import fallbacks, use_fonts_for
from persona_leakage.figures.style import plt, save_figure
from persona_leakage.infrastructure.provenance import hardware
from persona_leakage.models.loading import arithmetic, pick_device, say_unused
from tests.conftest import ROOT, run_program

PAIRS = ROOT / "tests/data/published_pairs.csv"


def draw(folder, **env):
    """Draw the published scatter plot as a user with some more environment variables would; the svg's bytes."""
    pairs = ["--pairs", str(PAIRS), "--headline-layer", "20"]
    done = run_program("plot_figure", "scatter", *pairs, "--output", str(folder / "scatter.svg"), cwd=folder, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr
    return (folder / "scatter.svg").read_bytes()


def test_a_users_settings_change_no_figure(tmp_path):
    """matplotlibrc in the folder or named, a notebook's backend, an encoding that has not the figure's characters."""
    plain = draw(tmp_path)
    (tmp_path / "matplotlibrc").write_text("figure.facecolor: black\naxes.facecolor: black\nfont.size: 30")
    (tmp_path / "mine").write_text("text.usetex: True")
    mine = {"MATPLOTLIBRC": str(tmp_path / "mine"), "PYTHONIOENCODING": "ascii"}
    assert draw(tmp_path, MPLBACKEND="module://matplotlib_inline.backend_inline", **mine) == plain


def test_jobs_are_started_without_what_bends_them():
    """In the process that starts them, whatever the user's shell had."""
    code = "import os, persona_leakage; print(*(name for name in persona_leakage.BENDING if name in os.environ), os.environ['MPLBACKEND'])"
    env = {
        **os.environ,
        "NVIDIA_TF32_OVERRIDE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": str(ROOT / "workflow_scripts"),
        "MPLBACKEND": "x",
    }
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout == "Agg\n", done.stderr


@pytest.mark.slow
def test_a_new_environment_knows_where_the_code_is(tmp_path):
    """For programs that are run by hand: with a path file beside its packages."""
    for name in ("Makefile", "envs"):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run(["make", ".venv/bin/python", f"PYTHON={sys.executable}"], cwd=tmp_path, check=True, capture_output=True)
    (listed,) = tmp_path.glob(".venv/lib/python3*/site-packages/persona_leakage.pth")
    assert listed.read_text().strip() == str(tmp_path / "workflow_scripts")


def test_snakemake_in_another_folder_is_told_where_to_run(finished_project, tmp_path):
    command = [sys.executable, "-m", "snakemake", "-n", "-s", finished_project.folder / "Snakefile"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode != 0 and "Snakemake must run in this folder" in done.stdout and "Traceback" not in done.stdout
    assert list(tmp_path.iterdir()) in ([], [tmp_path / ".snakemake"])


def test_characters_of_other_fonts_are_drawn_from_them(tmp_path, capsys):
    """A sign that the standard font lacks and another of matplotlib's own has; one that no font has is named."""
    sign, nowhere = "\U0001d49c", "\U000e0fff"
    families, missing = fallbacks({sign, nowhere})
    assert families and missing == {nowhere}
    figure, axis = plt.subplots()
    axis.set_title(f"a {sign}")
    use_fonts_for(figure)
    assert capsys.readouterr().err == ""
    assert all(text.get_fontfamily() == ["DejaVu Sans", *families] for text in figure.findobj(Text) if text.get_text())
    axis.set_title("図")
    save_figure(figure, tmp_path / "figure.png")
    said = capsys.readouterr().err
    assert "図" in said or fallbacks({"図"})[1] == set()


def test_results_say_on_which_kind_of_cpu_they_were_computed():
    """Not the instruction set alone: two kinds that share it round differently, and kept replies of one are none of the other."""
    name = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)[1]
    assert hardware()["processor"].startswith(f"{name}, family ")
    if not torch.cuda.is_available():
        assert arithmetic().endswith(hardware()["processor"])


@pytest.mark.parametrize(("visible", "said"), [("0", "given 0, but torch"), ("", ""), ("NoDevFiles", ""), (None, "")])
def test_a_gpu_that_torch_cannot_use_is_said(monkeypatch, capsys, visible, said):
    """Once in a job's log, however often the device is asked for; nothing where no GPU was given."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    say_unused.cache_clear()
    assert (pick_device(), pick_device()) == ("cpu", "cpu")
    errors = capsys.readouterr().err
    assert errors.count("finds no GPU") == bool(said) and said in errors
