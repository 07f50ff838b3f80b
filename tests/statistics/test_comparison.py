"""Finished experiments side by side: what is read, what is named as unreadable, and that nothing of them is run."""

import json
import shutil
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest
import yaml

from persona_leakage.config.compared_experiments import digests_of, experiment_folders
from persona_leakage.figures.comparison import draw
from persona_leakage.figures.style import plt
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.comparisons.experiments import comparison_table, read_experiments
from tests.conftest import CONFIG, run_program
from tests.reporting.test_report import Page, check_numbers


def make_experiment(home, seeds=(42,), rho=0.4, behaviour=None, **changes):
    """A run_config.yaml and the parts of correlation.json that are read, for each seed.

    behaviour: the config's block of one that the base model shows; else the default's marker.
    """
    config = {**CONFIG, "experiment": home.name, "training": {**CONFIG["training"], "seeds": list(seeds), **changes}}
    config["behaviour"] = behaviour or config["behaviour"]
    home.mkdir(parents=True)
    (home / "run_config.yaml").write_text(yaml.safe_dump({"meta": {}, "config": config}))
    for seed in seeds:
        source = {"spearman_rho": rho + 0.1, "spearman_interval": [rho, rho + 0.2], "n": 29, "mean_bystander_rate": 0.4}
        unknown = {"spearman_rho": None, "spearman_interval": None, "n": 29, "mean_bystander_rate": 0.2}
        layer = {
            "within_source": {"mean_rho": rho, "interval": [rho - 0.2, rho + 0.2]},
            "double_centred": {"r": None, "interval": None},
            "chance": {"association": {"p": 0.01}},
            "per_source": {"villain": source, "comedian": unknown},
        }
        meta = {"model": {"name": "tiny $x$ <b>"}, "training_seed": seed, "sampling_seed": 0}
        meta |= {"bank": {"personas": 30}, "recipe": {"training": "0123abcd4567", "prompts": "abcdef0123456789", "evaluation": "fedcba98"}}
        content = {"meta": meta, "headline_layer": 21, "layers": {"21": layer}, "verdict": [{"answer": "cannot tell"}]}
        if behaviour:
            content["signed_change"] = {"villain": {"mean": 0.3}, "comedian": {"mean": -0.1}}
            partial = {"mean_rho": rho - 0.1, "interval": [rho - 0.3, rho + 0.1]}
            own = {"villain": {"partial": rho, "partial_interval": [rho - 0.1, rho + 0.1]}}
            layer["base_confound"] = {"per_source": own, "partial": partial, "explained": False, "undefined": None}
        path = home / f"analysis/evaluation/seed{seed}/correlation.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    return home


def test_records_of_an_earlier_version_are_read(tmp_path):
    home = make_experiment(tmp_path / "old")
    record = yaml.safe_load((home / "run_config.yaml").read_text())
    for new, old in {"loss_on": "loss_scope", "turn_end_target": "end_target"}.items():
        record["config"]["labels"][old] = record["config"]["labels"].pop(new)
    (home / "run_config.yaml").write_text(yaml.safe_dump(record))
    (run,) = read_experiments([home])["runs"]
    assert run["recipe"] == "tail loss, rank 32, rate 0.001, epochs 2, negatives 3, end eos (0123abcd)"


CAPITALS = {"kind": "scored", "name": "capitals", "scorer": "capitals", "threshold": 0.9, "transform": "capitals"}


def test_behaviours_are_side_by_side(tmp_path):
    """A marker and one that the base model shows: kind, leakage as a signed change, correlation plain and given the base rate."""
    folders = [make_experiment(tmp_path / "marker"), make_experiment(tmp_path / "capitals", rho=0.3, behaviour=CAPITALS)]
    (tmp_path / "comparison.json").write_text(json.dumps({"meta": {"program": "compare_experiments"}, **read_experiments(folders)}))
    table = comparison_table(read_experiments(folders)["runs"]).set_index(["kind", "source"])
    columns = ["leakage", "rho", "low", "high", "partial_rho", "partial_low", "partial_high"]
    expected = {
        ("scored", "mean of the sources"): [0.1, 0.3, 0.1, 0.5, 0.2, 0.0, 0.4],
        ("scored", "villain"): [0.3, 0.4, 0.3, 0.5, 0.3, 0.2, 0.4],
        ("scored", "comedian"): [-0.1] + [None] * 6,
        ("marker", "mean of the sources"): [0.3, 0.4, 0.2, 0.6, None, None, None],
        ("marker", "villain"): [0.4, 0.5, 0.4, 0.6, None, None, None],
    }
    for index, values in expected.items():
        assert table.loc[index, columns].astype(float).tolist() == pytest.approx(np.array(values, dtype=float), nan_ok=True), index
    figure = draw(Namespace(comparison=tmp_path / "comparison.json"))
    axis, levels = figure.axes
    drawn = [[float(line.get_xdata()[0]) for line in each.lines if line.get_linestyle() == "None"] for each in (axis, levels)]
    assert sorted(drawn[0]) == pytest.approx([0.2, 0.3, 0.4, 0.4, 0.5]) and sorted(drawn[1]) == pytest.approx(
        [-0.1, 0.1, 0.2, 0.3, 0.3, 0.4]
    )
    assert [text.get_text().split(":")[0].split(", ")[1] for text in axis.texts] == ["scored", "marker"]
    assert "the same, given the base rate" in [text.get_text() for text in figure.legends[0].get_texts()]
    plt.close(figure)


def test_every_run_is_a_row_with_its_sources(tmp_path):
    """Two seeds of one recipe and one of another, sorted by recipe, each a line of the figure; a source without correlation stays empty."""
    folders = [make_experiment(tmp_path / "low", (7, 42), 0.2), make_experiment(tmp_path / "high", rho=0.6, learning_rate=0.01)]
    found = read_experiments(folders)
    assert found["left_out"] == []
    assert [(run["experiment"], run["training_seed"], run["mean_rho"]) for run in found["runs"]] == [
        ("low", 42, 0.2),
        ("low", 7, 0.2),
        ("high", 42, 0.6),
    ]
    assert found["runs"][2]["recipe"] == "tail loss, rank 32, rate 0.01, epochs 2, negatives 3, end eos (0123abcd)"
    table = comparison_table(found["runs"])
    assert len(table) == 9
    rows = table[(table["experiment"] == "high") & (table["source"] != "comedian")]
    assert rows[["source", "rho", "low", "high"]].to_numpy().tolist() == [
        ["mean of the sources", 0.6, pytest.approx(0.4), pytest.approx(0.8)],
        ["villain", pytest.approx(0.7), 0.6, pytest.approx(0.8)],
    ]
    assert table[table["source"] == "comedian"]["rho"].isna().all()
    (tmp_path / "comparison.json").write_text(json.dumps({"meta": {"program": "compare_experiments"}, **found}))
    figure = draw(Namespace(comparison=tmp_path / "comparison.json"))
    labels, texts = figure.axes[0].get_yticklabels(), [text.get_text() for text in figure.axes[0].texts]
    assert [label.get_text().split(",")[-1] for label in labels] == [" seed 42", " seed 7", " seed 42"]
    assert [text.split(":")[0] for text in texts] == [r"tiny \$x\$ <b>, marker"] * 2 and "rate 0.01," in texts[1]
    plt.close(figure)


def damage(path, content):
    path.write_text(content) if content is not None else path.unlink()


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("analysis/evaluation/seed7/correlation.json", None, "seed7/correlation.json: no such file"),
        ("analysis/evaluation/seed7/correlation.json", '{"meta"', "seed7/correlation.json: not valid JSON"),
        ("analysis/evaluation/seed7/correlation.json", "{}", "seed7/correlation.json: not a correlation.json of this workflow"),
        ("run_config.yaml", None, "run_config.yaml: no such file"),
        ("run_config.yaml", "config: 3", "run_config.yaml: holds no config"),
        ("run_config.yaml", "config: {experiment: x}", "run_config.yaml: not the config of an experiment"),
    ],
)
def test_what_is_missing_or_damaged_is_named_and_the_rest_compared(tmp_path, file, content, reason):
    good, bad = make_experiment(tmp_path / "good"), make_experiment(tmp_path / "bad", (7, 42))
    damage(bad / file, content)
    found = read_experiments([good, bad])
    (entry,) = found["left_out"]
    assert reason in entry["reason"]
    assert len(found["runs"]) == (1 if file == "run_config.yaml" else 2)


def test_all_is_every_experiment_but_no_other_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("results/b", "results/a", "results/compare"):
        make_experiment(tmp_path / name)
    (tmp_path / "results/half").mkdir()
    assert experiment_folders("all") == ["results/a", "results/b"]
    with pytest.raises(InputError, match=r"compare: elsewhere/c: no run_config\.yaml there"):
        experiment_folders(["results/a", "elsewhere/c"])
    make_experiment(tmp_path / "elsewhere/c")
    assert experiment_folders(["elsewhere/c"]) == ["elsewhere/c"]
    assert len(digests_of(["results/a", "nowhere"])) == 2


@pytest.fixture
def project_with_others(project_copy):
    """The finished tiny experiment, and two others from elsewhere, one of them damaged."""
    home = project_copy.folder / "results"
    make_experiment(home / "other", (7, 42), behaviour=CAPITALS)
    make_experiment(home / "damaged")
    (home / "damaged/analysis/evaluation/seed42/correlation.json").write_text("{")
    return project_copy


COMPARE = {"compare_experiments": 1, "plot_comparison": 1, "build_comparison": 1, "compare": 1}


def test_comparing_runs_no_job_of_an_experiment(project_with_others):
    """Also where the current one is stale or gone; the page's numbers are those of its file; other results make it again."""
    project = project_with_others
    project.edit_config(training__learning_rate=0.04)
    shutil.rmtree(project.folder / "results/tiny/training/villain")
    assert project.planned()["train_adapter"] == 2
    assert project.planned("compare") == COMPARE
    log = project.run("--cores", "1", "--", "compare").stdout
    assert "left out: results/damaged/analysis/evaluation/seed42/correlation.json: not valid JSON" in log
    home = project.folder / "results/compare"
    content = read_json(home / "comparison.json")
    assert sorted(run["experiment"] for run in content["runs"]) == ["other", "other", "tiny"]
    assert len(pd.read_csv(home / "comparison.csv")) == sum(1 + len(run["per_source"]) for run in content["runs"])
    checked, loose = check_numbers(home / "index.html", home)
    assert checked > 3 * 15 and loose == []
    text = (home / "index.html").read_text()
    assert "<script" not in text and "<b>" not in text and "tiny $x$ &lt;b&gt;" in text
    assert any("damaged" in shown for _, shown in Page(text).found)
    assert all((home / f"comparison.{kind}").stat().st_size > 0 for kind in ("pdf", "png", "svg"))
    assert project.planned("compare") == {}
    (project.folder / "results/damaged/analysis/evaluation/seed42/correlation.json").unlink()
    assert project.planned("compare") == COMPARE


def test_nothing_to_compare(project_copy, tmp_path):
    """An empty results folder is an error at once; folders without anything readable are one of the program."""
    shutil.rmtree(project_copy.folder / "results")
    done = project_copy.run("-n", "compare", check=False)
    assert done.returncode != 0 and "no results/*/run_config.yaml is there yet" in done.stdout
    project_copy.edit_config(compare=["results/nowhere"])
    done = project_copy.run("-n", "compare", check=False)
    assert done.returncode != 0 and "compare: results/nowhere: no run_config.yaml there" in done.stdout
    done = run_program("compare_experiments", "--folders", "nowhere", "--table", "a.csv", "--output", "a.json", cwd=tmp_path)
    assert done.returncode == 1 and "nowhere/run_config.yaml: no such file" in done.stderr
    assert list(tmp_path.glob("a.*")) == []
