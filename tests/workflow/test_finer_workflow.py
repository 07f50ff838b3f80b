"""Adapted geometry and finer measures as axes of the workflow: off they add nothing, on they are jobs, files, figures and sections."""

import json
import re

import numpy as np
import pytest
import yaml

from persona_leakage.config.experiment import check_experiment, forced_draws
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz, write_json
from persona_leakage.infrastructure.tensor_files import read_tensors
from persona_leakage.statistics.comparisons.adapted_geometry import MOVEMENTS, compare_geometries
from persona_leakage.statistics.comparisons.leakage_measures import compare_measures
from persona_leakage.tables.read import read_pairs
from tests.conftest import CONFIG, ROOT, copy_of, finished_with
from tests.reporting.test_report import build, check_numbers
from tests.support.made_up_results import RATES, make_results

ON = {"geometry__adapted": True, "evaluation__teacher_forced": True}


@pytest.fixture(scope="module")
def axes_project(finished_project, tmp_path_factory):
    """The finished tiny experiment with both axes switched on, run to its end."""
    return finished_with(finished_project, tmp_path_factory.mktemp("axes") / "project", **ON)


def test_the_files_hold_what_they_say(axes_project):
    home = axes_project.folder / "results/tiny"
    metrics = read_json(home / "training/comedian/seed42/metrics.json")
    meta = read_json(home / "geometry/evaluation/comedian-seed42/centroids.json")["meta"]
    assert meta["adapter_sha256"] == metrics["adapter_sha256"] and meta["state"] == "comedian/seed42"
    base, adapted = (
        read_tensors(home / f"geometry/evaluation/{state}/centroids_layer3.pt", "centroids", "personas")
        for state in ("base", "comedian-seed42")
    )
    assert base["personas"] == adapted["personas"] and not np.allclose(base["centroids"], adapted["centroids"])
    forced = read_json(home / "evaluation/evaluation/villain/seed42/teacher_forced.json")
    records = read_jsonl_gz(home / "evaluation/evaluation/villain/seed42/teacher_forced.jsonl.gz")
    replies = read_jsonl_gz(home / "evaluation/evaluation/base/completions.jsonl.gz")
    assert len(records) == len(replies) == forced["replies"] == sum(cell["n"] for cell in forced["personas"].values())
    assert forced["cut"] == sum(reply["finish_reason"] == "length" for reply in replies) == sum(record["end"] is None for record in records)
    known = {
        (record["persona"], record["question"], record["index"]): record
        for record in read_jsonl_gz(home / "evaluation/evaluation/base/teacher_forced.jsonl.gz")
    }
    for record in records:
        if record["end"] is not None:
            partner = known[record["persona"], record["question"], record["index"]]
            assert record["end_gain"] == pytest.approx(record["end"] - partner["end"])
    measures = read_json(home / "analysis/evaluation/seed42/measures.json")
    assert list(measures["costs"]) == ["base", "villain", "comedian"] and measures["costs"]["villain"]["teacher_forcing"]["tokens"] > 0
    assert measures["per_source"]["villain"]["tokens"]["n"] == 5
    pairs = read_pairs(home / "analysis/evaluation/seed42/pairs.csv")
    for row in pairs[pairs["source"] == "villain"].itertuples():
        cell, own = (forced["personas"][name] for name in (row.persona, "villain"))
        gain, source_gain = (np.nan if each["end_gain"] is None else each["end_gain"] for each in (cell, own))
        assert row.logprob_replies == cell["ended"]
        assert row.logprob_gain == pytest.approx(gain, nan_ok=True) and row.source_logprob_gain == pytest.approx(source_gain, nan_ok=True)
    geometry = read_json(home / "analysis/evaluation/seed42/adapted_geometry.json")
    assert geometry["layers"]["3"]["per_source"]["villain"]["moved_itself"] > 0
    assert geometry["meta"]["adapters"]["comedian"] == metrics["adapter_sha256"]


def test_the_report_has_the_sections_while_the_axes_are_on(axes_project, tmp_path):
    assert axes_project.planned() == {}
    page = (axes_project.folder / "results/tiny/report/index.html").read_text()
    for title in ("The geometry after training", "Finer measures of leakage"):
        assert f">{title}</h2>" in page
    assert "figures/evaluation/seed42/measures.png" in page
    checked, loose = check_numbers(axes_project.folder / "results/tiny/report/index.html", axes_project.folder / "results/tiny")
    assert checked > 150 and [text for text in loose if not re.fullmatch(r"[13]\*?|.*training seed 42.*|.*\?", text)] == []
    project = copy_of(axes_project, tmp_path / "project")
    project.edit_config(geometry__adapted=False, evaluation__teacher_forced=False)
    project.run("--cores", "1")
    assert read_json(project.folder / "results/tiny/analysis/evaluation/seed42/correlation.json")["outcomes"]["logprob_gain"]["undefined"]
    page = (project.folder / "results/tiny/report/index.html").read_text()
    assert "after training</h2>" not in page and "measures.png" not in page, "figures of an earlier run are not shown"


def test_a_file_of_an_axis_can_be_asked_for_while_it_is_off(project_copy):
    """As any other file by its name: what it takes, nothing else."""
    wanted = "results/tiny/analysis/evaluation/seed42/adapted_geometry.json"
    assert project_copy.planned(wanted) == {"extract_adapted_centroids": 2, "compare_geometries": 1}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"draws": 4}, r"evaluation.teacher_forced.draws: 4 is more than evaluation.samples_per_question \(3\)"),
        ({"draws": 0}, "evaluation.teacher_forced.draws: 0 must be >= 1"),
        ({"questions": 6}, "evaluation.teacher_forced: missing key 'draws'"),
        ({}, "evaluation.teacher_forced: missing key 'draws'"),
        ({"draws": 1, "replies": 2}, "evaluation.teacher_forced: unknown key 'replies'; allowed: draws, questions"),
        ("all", "evaluation.teacher_forced: 'all' must be true or false .* or a block .* with the keys draws, questions"),
    ],
)
def test_bad_values_are_named(monkeypatch, value, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match=message):
        check_experiment({**CONFIG, "evaluation": {**CONFIG["evaluation"], "teacher_forced": value}})


@pytest.mark.parametrize(("value", "draws"), [(True, None), (False, None), ({"draws": 2}, 2)])
def test_draws_of_a_config(monkeypatch, value, draws):
    monkeypatch.chdir(ROOT)
    config = {**CONFIG, "evaluation": {**CONFIG["evaluation"], "teacher_forced": value}}
    check_experiment(config)
    assert forced_draws(config) == draws


def made_up_axes(home, config, pairs):
    """adapted_geometry.json and measures.json of the published pairs, with made-up movements and probabilities."""
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(len(MOVEMENTS) + 1, len(pairs)))
    table = pairs.assign(cosine_adapted=np.clip(pairs["cosine"] + 0.2 * noise[-1], -1, 1), **dict(zip(MOVEMENTS, noise, strict=False)))
    own = {str(layer): dict.fromkeys(RATES, 1.5) for layer in set(pairs["layer"])}
    vectors = generator.normal(size=(2, len(own), len(set(pairs["persona"])), 9))
    unit = vectors / np.linalg.norm(vectors, axis=3, keepdims=True)
    base, adapted = unit @ unit.swapaxes(2, 3)
    panels = base, dict.fromkeys(RATES, adapted)
    result = compare_geometries(table, own, panels, {"permutations": 199, "bootstraps": 200})
    write_json(home / "analysis/evaluation/seed42/adapted_geometry.json", {"meta": {}, "headline_layer": 20, **result})
    pairs = pairs[pairs["layer"] == 20]
    evaluations, forced = {source: {} for source in RATES}, {source: {} for source in RATES}
    for source, persona, rate in [
        *zip(pairs["source"], pairs["persona"], pairs["rate"], strict=True),
        *((name, name, rate) for name, rate in RATES.items()),
    ]:
        counts = {question: {"found": int(10 * rate), "found_tokens": int(10 * rate), "total": 10} for question in "abcdef"}
        gains = {question: {"n": 10, "ended": 9, "end_gain": 9 * rate + generator.normal(), "anywhere": rate} for question in "abcdef"}
        evaluations[source][persona], forced[source][persona] = {"per_question": counts}, {"per_question": gains}
    cost = {"seconds": 12.0, "replies": 900, "tokens": 30_000}
    costs = {name: {"sampling": cost, "teacher_forcing": cost, "times_faster": 1.0} for name in ("base", *RATES)}
    result = compare_measures(pairs, evaluations, forced, {"bootstraps": 200})
    write_json(home / "analysis/evaluation/seed42/measures.json", {"replies": {"read": 900, "cut": 3}, "costs": costs, **result})
    run_config = yaml.safe_load((home / "run_config.yaml").read_text())
    run_config["config"]["geometry"]["adapted"] = run_config["config"]["evaluation"]["teacher_forced"] = True
    (home / "run_config.yaml").write_text(yaml.safe_dump(run_config, sort_keys=False))


def test_every_number_of_the_sections_stands_in_a_file(tmp_path):
    """At the published size, where all of the statistics are defined."""
    home = tmp_path / "a/results/made_up"
    config, pairs = make_results(home, per_question=1, words=20)
    made_up_axes(home, config, pairs)
    build(home)
    page = home.parents[1] / "index.html"
    check_numbers(page, home)
    shown = re.findall(r'data-file="analysis/evaluation/seed42/(\w+).json" data-keys="([^"]*)"[^>]*>([^<]*)<', page.read_text())
    for file, least in (("adapted_geometry", 90), ("measures", 180)):
        values = [text for name, _, text in shown if name == file]
        assert len(values) > least and values.count("–") == (0 if file == "adapted_geometry" else 2), values
    keys = [json.loads(keys.replace("&#34;", '"')) for name, keys, _ in shown if name == "adapted_geometry"]
    assert ["layers", "20", "joint", "difference", "test", "p_max_t"] in keys
