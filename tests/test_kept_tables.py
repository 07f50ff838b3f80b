"""Kept tables: copied whole, anything changed is named, what hangs together is computed again; write-ups say what they say."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.infrastructure.files import read_json
from persona_leakage.publishing.archive import keep_files
from tests.conftest import ROOT, project_at, run_program

KEPT = sorted(path.parent for path in (ROOT / "docs/results").glob("*/digests.json"))
# Each write-up with the tables that it is filled from.
WRITE_UPS = {"default.md": "smollm2", "smollm2.md": "smollm2_study"}
TEMPLATE = ROOT / "docs/results/study.md.j2"


@pytest.fixture(scope="module")
def tables(finished_project, tmp_path_factory):
    """The tables of the tiny experiment, kept by the workflow."""
    folder = tmp_path_factory.mktemp("tables") / "project"
    shutil.copytree(finished_project.folder, folder, copy_function=shutil.copy2)
    project_at(folder).run("--cores", "1", "--", "tables")
    return folder / "results/tiny/published/tables"


@pytest.fixture
def copy(tables, tmp_path):
    """A copy of the kept tables, free to change."""
    return shutil.copytree(tables, tmp_path / "kept")


def check(folder):
    return run_program("check_tables", folder, cwd=ROOT)


def test_what_is_kept(tables):
    """Tables, scores, records and figures; no replies, weights or hidden states."""
    listed = json.loads((tables / "digests.json").read_text())["files"]
    assert {"run_config.yaml", "analysis/evaluation/seed42/pairs.csv", "analysis/evaluation/seed42/correlation.json"} <= set(listed)
    assert {"evaluation/evaluation/base/marker_eval.json", "figures/evaluation/seed42/scatter.png", "report/facts.json"} <= set(listed)
    assert not [name for name in listed if name.endswith((".gz", ".pt", ".safetensors", ".html")) or "/adapter/" in name]
    done = check(tables)
    assert done.returncode == 0, done.stderr
    assert f"{len(listed)} files as they were kept" in done.stdout and "1 correlation.json computed again" in done.stdout


@pytest.mark.slow
def test_keeping_is_no_part_of_the_results(project_copy):
    """Not made by `all`; one job when asked for, also again."""
    assert project_copy.planned() == {}
    assert project_copy.planned("tables") == {"keep_tables": 1, "tables": 1}
    project_copy.run("--cores", "1", "--", "tables")
    record = project_copy.folder / "results/tiny/published/tables/digests.json"
    first = read_json(record)["files"]
    project_copy.run("--cores", "1", "--forcerun", "keep_tables", "--", "tables")
    assert read_json(record)["files"] == first


def test_a_table_that_is_not_the_recorded_one_is_not_kept(project_copy):
    pairs = project_copy.folder / "results/tiny/analysis/evaluation/seed42/pairs.csv"
    home = project_copy.folder / "results/tiny"
    pairs.write_text(pairs.read_text().replace("villain", "comedian", 1))
    done = run_program("keep_tables", "--results", home, "--output", home / "tables/digests.json", "--files", pairs, cwd=ROOT)
    assert done.returncode == 1 and "pairs.csv: is not the file that" in done.stderr and not (home / "tables").exists()


def keep(home, *names):
    """Run keep_tables on files of ``home``, into its folder kept/."""
    files = [home / name for name in names]
    return run_program("keep_tables", "--results", home, "--output", home / "kept/digests.json", "--files", *files, cwd=ROOT)


def test_only_copies_are_ever_removed(tmp_path):
    """A copy that is no longer wanted goes; a file of the user's, or a copy that was edited, is refused and stays."""
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    assert keep(tmp_path, "a.json", "b.json").returncode == 0
    assert keep(tmp_path, "a.json").returncode == 0
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"a.json", "digests.json", ".digests.json"}
    (tmp_path / "kept/table1.tex").write_text("mine")
    done = keep(tmp_path, "b.json")
    assert done.returncode == 1 and "table1.tex: was not put there by this program, and is not removed" in done.stderr
    (tmp_path / "kept/table1.tex").unlink()
    (tmp_path / "kept/a.json").write_text("edited")
    done = keep(tmp_path, "b.json")
    assert done.returncode == 1 and "a.json: was changed since it was copied" in done.stderr
    assert (tmp_path / "kept/a.json").read_text() == "edited" and not (tmp_path / "kept/b.json").exists()


def test_a_copying_that_was_killed_goes_on(tmp_path, monkeypatch):
    """Half of the files new, half old: all are known as copies."""
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    keep_files(tmp_path, files, tmp_path / "kept")
    for path in files:
        path.write_text('{"new": 1}')
    copy_file = shutil.copyfile

    def killed(source, target):
        if Path(source).name == "b.json":
            raise KeyboardInterrupt
        return copy_file(source, target)

    monkeypatch.setattr(shutil, "copyfile", killed)
    with pytest.raises(KeyboardInterrupt):
        keep_files(tmp_path, files, tmp_path / "kept")
    monkeypatch.undo()
    keep_files(tmp_path, files, tmp_path / "kept")
    assert (tmp_path / "kept/b.json").read_text() == '{"new": 1}'


def rewritten(folder, place, change):
    """Change the text of a kept file, and its digest with it."""
    path, record = folder / place, folder / "digests.json"
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")
    content = json.loads(record.read_text())
    content["files"][place]["sha256"] = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    record.write_text(json.dumps(content))


def test_a_file_that_changed_vanished_or_came_is_named(copy):
    for change, message in (
        (lambda: (copy / "report/facts.json").write_text("{}"), "report/facts.json: is not the file that digests.json describes"),
        (lambda: (copy / "report/facts.json").unlink(), "report/facts.json: no such file; digests.json lists it"),
    ):
        change()
        done = check(copy)
        assert done.returncode == 1 and message in done.stderr
    listed = json.loads((copy / "digests.json").read_text())
    del listed["files"]["report/facts.json"]
    (copy / "digests.json").write_text(json.dumps(listed))
    (copy / "notes.txt").write_text("")
    assert "notes.txt: digests.json does not list it" in check(copy).stderr


@pytest.mark.parametrize(
    ("state", "pattern", "new", "message"),
    [
        ("villain/seed42", r'("comedian": \{.*?"found": )\d+', r"\g<1>77", r"pairs\.csv: line \d+: says .*; marker_eval\.json has .*77"),
        ("villain/seed42", r'"comedian": \{', '"somebody": {', r"pairs\.csv: line \d+: .*marker_eval\.json: has no key 'comedian'"),
        ("base", r'("comedian": \{.*?"rate": )[\d.]+', r"\g<1>0.777", r"pairs\.csv: line \d+: says .*; marker_eval\.json has .*0\.777"),
    ],
)
def test_counts_that_are_not_the_scores_are_named(copy, state, pattern, new, message):
    place = f"evaluation/evaluation/{state}/marker_eval.json"
    rewritten(copy, place, lambda text: re.sub(pattern, new, text, count=1, flags=re.S))
    done = check(copy)
    assert done.returncode == 1 and re.search(message, done.stderr)


def test_a_statistic_that_is_not_that_of_the_tables_is_named(copy):
    rewritten(
        copy,
        "analysis/evaluation/seed42/correlation.json",
        lambda text: re.sub(r'("cells": \{\s+"\w+": \{\s+"rate": )[\d.]+', r"\g<1>0.123", text, count=1),
    )
    done = check(copy)
    assert done.returncode == 1 and "correlation.json: computed again, 1 values differ, the first is leakage." in done.stderr


def test_there_are_kept_results():
    assert KEPT and {folder.name for folder in KEPT} == {*WRITE_UPS.values(), "smollm2_epyc"}  # beside the default


@pytest.mark.parametrize(
    "folder",
    [pytest.param(folder, id=folder.name, marks=[pytest.mark.slow] * folder.name.endswith("_study")) for folder in KEPT],
)
def test_kept_results_hold(folder):
    done = check(folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "tables"), WRITE_UPS.items(), ids=list(WRITE_UPS))
def test_a_write_up_says_what_the_tables_say(page, tables, tmp_path):
    """The page is the template filled anew."""
    done = run_program("write_up", TEMPLATE, ROOT / "docs/results" / tables, tmp_path / page, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / page).read_text(encoding="utf-8") == (ROOT / "docs/results" / page).read_text(encoding="utf-8")


def test_the_template_holds_no_result_of_its_own():
    words = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|`[^`]*`|\]\([^)]*\)|^    .*$", "", TEMPLATE.read_text(encoding="utf-8"), flags=re.S | re.M)
    for level_or_setting in ("95 % interval", ", with 95 %, in", ", 95 %, other", "(95 %)", "Qwen2.5-7B, block 20", "fewer than 12 tokens"):
        words = words.replace(level_or_setting, "")
    assert re.findall(r"[^\n]*(?<![A-Za-z])\d[^\n]*", words) == []


def test_the_readme_shows_the_table_of_the_kept_run():
    table = re.search(r"(?:^    .*\n)+", (ROOT / "docs/results/default.md").read_text(encoding="utf-8"), re.M)[0]
    shown = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    assert [line for line in table.splitlines() if line.strip() not in shown] == []


def test_the_finding_in_the_readme_is_that_of_the_kept_study():
    """The mean correlation with each training seed, and the interval for a new source with the first."""
    analysis = ROOT / "docs/results/smollm2_study/analysis/evaluation"
    results = [read_json(analysis / f"seed{seed}/correlation.json") for seed in (42, 137, 256)]
    first, second, third = (f"{result['layers']['21']['within_source']['mean_rho']:+.2f}" for result in results)
    low, high = results[0]["layers"]["21"]["meta_analysis"]["next_source_interval"]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"is {first}, {second} and {third} with the three training seeds" in text
    assert f"for a new source is {low:+.2f} to {high:+.2f} (seed 42)" in text


@pytest.mark.parametrize(("tables", "config"), [("smollm2", "config.yaml"), ("smollm2_study", "presets/smollm2_study.yaml")])
def test_kept_results_are_those_of_the_config_of_today(tables, config):
    config = yaml.safe_load((ROOT / config).read_text(encoding="utf-8"))
    kept = yaml.safe_load((ROOT / "docs/results" / tables / "run_config.yaml").read_text(encoding="utf-8"))["config"]
    kept = with_new_keys(kept)
    assert kept == {key: value for key, value in config.items() if key in kept} and {"training", "engine", "evaluation"} <= set(kept)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ show('two', 'report/facts.json', 'nothing') }}", "report/facts.json: has no nothing"),
        ("{{ value('no.json', 'a') }}", "no.json: no such file"),
        ("{% for %}", "page.md.j2: "),
        ("{{ typed }}", "'typed' is undefined"),
    ],
)
def test_a_template_with_an_error_is_named(tables, tmp_path, text, message):
    (tmp_path / "page.md.j2").write_text(text)
    done = run_program("write_up", tmp_path / "page.md.j2", tables, tmp_path / "page.md", cwd=ROOT)
    assert done.returncode == 1 and message in done.stderr and not (tmp_path / "page.md").exists()
