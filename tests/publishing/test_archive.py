"""Archives of tables: copied with digests, checked and recomputed; pages of results show their numbers."""

import re
import shutil
from copy import deepcopy

import pytest
import yaml
from snakemake.utils import update_config

from persona_leakage.config.config_parts import config_layers, resolve_config
from persona_leakage.config.experiment import complete_config
from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, sha256_of_file, write_json
from persona_leakage.publishing.archive import copy_files
from persona_leakage.reporting.closing_table import as_text, result_lines
from tests.conftest import ROOT, copy_of, run_program

LARGE = ("smollm2_study", "qwen_coder", "qwen_coder_wrong_answers")
RESULTS = ROOT / "docs/results"
# The larger model's second run and its other studies, with their presets.
SECOND = {"qwen_coder_seeds": "qwen_coder"} | {
    f"qwen_coder_{name}": f"qwen_coder_{name}" for name in ("ood", "arithmetic", "capitals", "careless", "as_run", "paper")
}
SECOND = {name: f"presets/{preset}.yaml" for name, preset in SECOND.items()}
ARCHIVES = ["smollm2", "smollm2_epyc", "containment", *(pytest.param(name, marks=pytest.mark.slow) for name in (*LARGE, *SECOND))]


@pytest.fixture(scope="module")
def tables(finished_project, tmp_path_factory):
    project = copy_of(finished_project, tmp_path_factory.mktemp("tables") / "project")
    assert project.planned() == {} and project.planned("tables") == {"archive_tables": 1, "tables": 1}
    project.run("--cores", "1", "--", "tables")
    return project.folder / "results/tiny/published/tables"


@pytest.fixture
def copy(tables, tmp_path):
    return shutil.copytree(tables, tmp_path / "copy")


def check(folder):
    return run_program("check_tables", folder, cwd=ROOT)


def test_contents(tables):
    """Tables, scores, records and figures; no replies, weights or hidden states."""
    listed = set(read_json(tables / "checksums.json")["files"])
    assert {"run_config.yaml", "analysis/evaluation/seed42/pairs.csv", "analysis/evaluation/seed42/correlation.json"} <= listed
    assert {"evaluation/evaluation/base/marker_eval.json", "figures/evaluation/seed42/scatter.png", "report/facts.json"} <= listed
    assert not [name for name in listed if name.endswith((".gz", ".pt", ".safetensors", ".html")) or "/adapter/" in name]
    done = check(tables)
    assert done.stdout.endswith(f"{len(listed)} files unchanged, 1 correlation.json reproduced\n"), done.stderr


def test_other_files_in_the_folder_are_never_removed(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    folder = tmp_path / "archive"
    copy_files(tmp_path, [tmp_path / "a.json"], folder)
    (tmp_path / "a.json").write_text("[]")
    copy_files(tmp_path, [tmp_path / "a.json"], folder)
    assert (folder / "a.json").read_text() == "[]"
    with pytest.raises(InputError, match=r"archive: 1 files are not part of this archive, first a\.json; move or delete them"):
        copy_files(tmp_path, [tmp_path / "b.json"], folder)
    assert [path.name for path in folder.iterdir()] == ["a.json"]


def test_a_changed_missing_or_unlisted_file_is_named(copy):
    record, facts = copy / "checksums.json", copy / "report/facts.json"
    facts.write_text("{}")
    assert "report/facts.json: its SHA-256 is not the one in checksums.json" in check(copy).stderr
    facts.unlink()
    assert "report/facts.json: no such file; checksums.json lists it" in check(copy).stderr
    content = read_json(record)
    del content["files"]["report/facts.json"]
    write_json(record, content)
    (copy / "notes.txt").write_text("")
    done = check(copy)
    assert done.returncode == 1 and "notes.txt: checksums.json does not list it" in done.stderr


def test_a_statistic_that_differs_from_its_tables_is_named(copy):
    name = "analysis/evaluation/seed42/correlation.json"
    text = (copy / name).read_text(encoding="utf-8")
    (copy / name).write_text(re.sub(r'("cells": \{\s+"\w+": \{\s+"rate": )[\d.]+', r"\g<1>0.123", text, count=1), encoding="utf-8")
    content = read_json(copy / "checksums.json")
    content["files"][name]["sha256"] = sha256_of_file(copy / name)
    write_json(copy / "checksums.json", content)
    done = check(copy)
    assert done.returncode == 1 and "correlation.json: recomputed from its tables, 1 values differ, first leakage." in done.stderr


@pytest.mark.parametrize("name", ARCHIVES)
def test_committed_results_are_reproduced(name):
    done = check(ROOT / "docs/results" / name)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "tables"),
    [
        ("smollm2", "smollm2_study"),
        ("containment", "containment"),
        ("many_sources", "many_sources"),
        ("qwen_coder", "qwen_coder"),
        ("qwen_coder_seeds", "qwen_coder"),
        ("qwen_coder_behaviours", "qwen_coder"),
        ("index", "qwen_coder"),
    ],
)
def test_the_page_of_results_says_what_the_tables_say(tmp_path, page, tables):
    """The committed page is the filled template."""
    done = run_program("write_up", RESULTS / f"{page}.md.j2", RESULTS / tables, tmp_path / "page.md", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == (RESULTS / f"{page}.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_table_of_the_kept_run():
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    [(_, lines, _)] = result_lines(config, RESULTS / "smollm2")
    shown = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    assert [line for line in as_text(lines).splitlines() if line.strip() not in shown] == []


def test_the_finding_in_the_readme_is_that_of_the_kept_study():
    """The mean correlation with each training seed, and the interval for a new source with the first."""
    analysis = ROOT / "docs/results/smollm2_study/analysis/evaluation"
    results = [read_json(analysis / f"seed{seed}/correlation.json") for seed in (42, 137, 256)]
    first, second, third = (f"{result['layers']['21']['within_source']['mean_rho']:+.2f}" for result in results)
    low, high = results[0]["layers"]["21"]["meta_analysis"]["next_source_interval"]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"is {first}, {second} and {third} with the three training seeds" in text
    assert f"for a new source is {low:+.2f} to {high:+.2f} (seed 42)" in text
    analysis = RESULTS / "qwen_coder_seeds/analysis/evaluation"
    seeds = [read_json(analysis / f"seed{seed}/correlation.json") for seed in (42, 137, 256)]
    gains = [result["outcomes"]["logprob_gain"] for result in seeds]
    choice = read_json(RESULTS / "qwen_coder_wrong_answers/analysis/evaluation/seed42/correlation.json")
    found = [f"{result['layers']['20']['within_source']['mean_rho']:+.2f}" for result in (*seeds, *gains, choice)]
    assert "correlation is {}, {} and {} with [three training seeds]".format(*found[:3]) in text
    assert "and {}, {} and {} by the marker's log-probability".format(*found[3:6]) in text
    assert f"to multiple-choice items it is {found[6]} (one seed), but" in text


@pytest.mark.parametrize(
    ("tables", "config"),
    [
        ("smollm2", "config.yaml"),
        ("smollm2_study", "presets/smollm2_study.yaml"),
        ("containment", "presets/containment.yaml"),
        ("qwen_coder", "presets/qwen_coder.yaml"),
        ("qwen_coder_wrong_answers", "presets/qwen_coder_wrong_answers.yaml"),
        *SECOND.items(),
    ],
)
def test_committed_results_are_those_of_the_current_config(tables, config):
    """Keys that are newer than the results have their defaults; where a folder of weights lies differs between machines."""
    whole, layers = {}, config_layers([ROOT / "config.yaml", ROOT / config])
    for _, content in layers:
        update_config(whole, deepcopy(content))
    resolve_config(whole, layers)
    config = complete_config(with_new_keys(whole))
    archived = yaml.safe_load((ROOT / "docs/results" / tables / "run_config.yaml").read_text(encoding="utf-8"))["config"]
    archived = complete_config(with_new_keys(archived))
    if tables == "qwen_coder":  # the first run; its preset has the values of the second
        config["training"]["seeds"], config["evaluation"]["samples_per_question"], config["geometry"]["adapted"] = [42], 10, False
    if config["model"]["source"] == "path":
        archived["model"]["location"] = config["model"]["location"]
    assert archived == {key: value for key, value in config.items() if key in archived}
    assert {"training", "engine", "evaluation"} <= set(archived)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ show('two', 'report/facts.json', 'nothing') }}", "report/facts.json: has no nothing"),
        ("{{ value('no.json', 'a') }}", "no.json: no such file"),
        ("{% for %}", "page.md.j2: "),
        ("{{ typed }}", "'typed' is undefined"),
        ("{{ '%.1f' | format(none) }}", "page.md.j2: cannot be filled from "),
        ("{{ [] | map(attribute='answer') | first }}", "No first item, sequence was empty"),
    ],
)
def test_a_template_with_an_error_is_named(tables, tmp_path, text, message):
    (tmp_path / "page.md.j2").write_text(text)
    done = run_program("write_up", tmp_path / "page.md.j2", tables, tmp_path / "page.md", cwd=ROOT)
    assert done.returncode == 1 and message in done.stderr and not (tmp_path / "page.md").exists()
