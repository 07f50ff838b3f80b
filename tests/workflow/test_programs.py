"""Every program as its user calls it: help, options and inputs that are wrong."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ROOT, run_program

PROGRAMS = sorted(path.stem for path in (ROOT / "workflow_scripts").glob("*.py"))
WITH_DEFAULTS = {"check_statistics", "plan_power", "plan_run", "show_results", "write_configuration"}
SAMPLE_PATHS = [f"--{name}=x" for name in ("model", "personas", "questions", "restart", "output", "meta")]
SAMPLE_SETTINGS = {
    "personas": {"names": "all", "fields": ["prompt"], "digest": ""},
    "questions": {"set": "evaluation", "count": 1, "digest": ""},
    **{"suffix": "", "seed": 1, "draws": 1, "sampling_seed": 1, "sampling": {}, "engine": {}},
}
# Wrong options: exit code 2 and a word of what is wrong.
BAD_OPTIONS = {
    "settings that are no JSON": ("write_run_config", ["--settings", "{seed: 1", "--output", "x"], "not valid JSON"),
    "settings that are no object": ("write_run_config", ["--settings", "[1]", "--output", "x"], "must be a JSON object"),
    "misspelt key in the settings": ("train_adapter", ["--settings", '{"training": {"epoch": 2}}'], "did you mean epochs?"),
    "unknown key in the settings": ("plot_figure", ["layers", "--settings", '{"layer": 2}'], "unknown key 'layer'"),
    "value in the settings": ("check_robustness", ["--settings", '{"bootstraps": 3}'], "bootstraps: 3 must be >= 200"),
    "missing key in the settings": ("score_leakage", ["--settings", "{}"], "missing key 'personas'"),
    "unknown option": ("plot_figure", ["layers", "--correlation", "x", "--output", "x", "--fast"], "--fast"),
    "adapter without its metrics": (
        "sample_completions",
        ["--settings", json.dumps(SAMPLE_SETTINGS), *SAMPLE_PATHS, "--state", "base", "--adapter", "x"],
        "--adapter-metrics",
    ),
    "figure without its input": ("plot_figure", ["layers", "--output", "x.pdf"], "--correlation"),
    "empty path": ("correlate_leakage", ["--pairs", "x", "--output", ""], "argument --output: is empty"),
    "seed that is no number": ("train_adapter", ["--seed", "first"], "--seed"),
}
# Inputs that are not there: exit code 1, one line, no traceback.
BAD_INPUTS = {
    "no config": ("show_results", [], "config.yaml: no such file"),
    "no config to plan": ("plan_run", [], "config.yaml: no such file"),
    "no results": ("show_results", ["--config", str(ROOT / "config.yaml")], "no finished run"),
    "no pairs": (
        "correlate_leakage",
        ["--settings", '{"headline_layer": 1}', "--pairs", "pairs.csv", "--base-eval", "x", "--output", "y"],
        "pairs.csv: no such file",
    ),
    "unknown figure": ("plot_figure", ["scater", "--output", "x.pdf"], "'scater' is no figure; choose one of adapted_geometry, "),
    "pairs that are a folder": ("check_robustness", ["--pairs", ".", "--output", "y"], ".: is a folder, pipe or device"),
    "pairs that are a device": ("check_robustness", ["--pairs", "/dev/null", "--output", "y"], "/dev/null: is a folder, pipe or device"),
    "a path that colours the terminal": ("check_robustness", ["--pairs", "\x1b[31mx", "--output", "y"], "error: ␛[31mx: no such file"),
    "no model folder": (
        "fetch_model",
        ["--settings", '{"model": {"name": "m", "source": "path", "location": "nowhere"}}', "--manifest", "model.json"],
        "model.location: 'nowhere'",
    ),
}


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(scope="session")
def calls(empty_folder):
    """{(program, arguments): finished process} for all calls of this file, a few at a time: most of each is importing torch."""
    wanted = [(program, ("--help",)) for program in PROGRAMS]
    wanted += [(program, ()) for program in PROGRAMS if program not in WITH_DEFAULTS]
    wanted += [(program, tuple(arguments)) for program, arguments, _ in [*BAD_OPTIONS.values(), *BAD_INPUTS.values()]]

    def run(call):
        program, arguments = call
        return run_program(program, *arguments, cwd=empty_folder)

    with ThreadPoolExecutor(max_workers=3) as pool:
        return dict(zip(wanted, pool.map(run, wanted), strict=True))


@pytest.mark.parametrize("program", PROGRAMS)
def test_help(calls, program):
    done = calls[program, ("--help",)]
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {program} ")
    assert len(done.stdout.splitlines()) > 4


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name not in WITH_DEFAULTS])
def test_no_arguments(calls, program):
    done = calls[program, ()]
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {program} ")
    assert "required" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("program", "arguments", "fragment"), BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_bad_options(calls, program, arguments, fragment):
    done = calls[program, tuple(arguments)]
    assert done.returncode == 2
    assert fragment in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("program", "arguments", "fragment"), BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_inputs(calls, program, arguments, fragment):
    done = calls[program, tuple(arguments)]
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr


def test_refused_calls_leave_nothing_behind(calls, empty_folder):
    assert calls
    assert list(empty_folder.iterdir()) == []
