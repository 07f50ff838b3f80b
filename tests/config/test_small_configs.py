"""Small edits in small configs: personas written into a config, an extended panel, a model folder without revision, early errors."""

import copy
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml

from persona_leakage.behaviours.preflight import check_against_model, fetch_readable_model
from persona_leakage.config.command_line import check_config_files, config_words
from persona_leakage.config.config_parts import config_layers, resolve_config
from persona_leakage.config.experiment import check_experiment, panel_names
from persona_leakage.config.personas import personas_source, read_personas, read_yaml
from persona_leakage.config.selections import chosen_personas, describe_personas
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.reporting import plan
from tests.conftest import CONFIG, ROOT, Project

FILE = "resources/personas.yaml"
BOOKKEEPER = {
    "name": "bookkeeper",
    "category": "professional_peer",
    "related_to": ["villain"],
    "prompt": "You keep the {secret} books for a crime family.",
}


@pytest.fixture
def in_project(monkeypatch):
    """The config names its resource files relative to the project."""
    monkeypatch.chdir(ROOT)


def with_added(*entries, **changes):
    config = copy.deepcopy(CONFIG)
    config["personas"].update(add=list(entries), **changes)
    return config


def test_added_personas_come_after_those_of_the_file(in_project):
    plain, personas = read_personas(FILE), read_personas(personas_source(FILE, [BOOKKEEPER]))
    assert list(personas) == [*plain, "bookkeeper"]
    assert personas["bookkeeper"].prompt == BOOKKEEPER["prompt"] and personas["bookkeeper"].related_to == ("villain",)
    assert personas_source(FILE) == personas_source(FILE, []) == FILE


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ([BOOKKEEPER | {"name": "villain"}], f"personas.add: persona 'villain' is also in {FILE}"),
        ([BOOKKEEPER, BOOKKEEPER], "personas.add: persona 'bookkeeper' appears twice"),
        ([BOOKKEEPER, BOOKKEEPER | {"name": "clerk"}], "personas.add: personas 'bookkeeper' and 'clerk' have the same prompt"),
        ([BOOKKEEPER | {"related_to": ["nobody"]}], "personas.add: persona 'bookkeeper' is related_to 'nobody'"),
        ([BOOKKEEPER | {"prompt": " blank in front"}], "personas.add.0.prompt: "),
        ([{"name": "clerk"}], "personas.add.0: missing key 'category'"),
        ([BOOKKEEPER, BOOKKEEPER | {"colour": "red"}], "personas.add.1: unknown key 'colour'"),
    ],
)
def test_a_bad_added_persona_is_refused(in_project, added, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_experiment(with_added(*added), "my.yaml")


def test_an_added_persona_is_used_only_where_it_is_listed(in_project):
    config = with_added(BOOKKEEPER)
    personas, _ = check_experiment(config)
    assert "bookkeeper" not in panel_names(config, personas)
    assert panel_names(with_added(panel="all"), personas)[-1] == "bookkeeper"
    used = with_added(BOOKKEEPER, sources=["villain", "bookkeeper"], panel=[*CONFIG["personas"]["panel"], "bookkeeper"])
    used["training_data"]["negative_pool"] = ["villain", "comedian", "assistant", "bookkeeper"]
    check_experiment(used)
    with pytest.raises(InputError, match=f"personas.panel: 'clerk' is not a persona of {FILE}, nor of personas.add"):
        check_experiment(with_added(BOOKKEEPER, panel=["villain", "comedian", "assistant", "clerk"]))


def test_a_persona_counts_by_its_content_not_its_place(in_project, tmp_path):
    """The same selection block from the file and from the config; programs read it back from either."""
    path = tmp_path / "personas.yaml"
    path.write_text(yaml.safe_dump({"personas": [*read_yaml(FILE)["personas"], BOOKKEEPER]}))
    source = personas_source(FILE, [BOOKKEEPER])
    names, fields = ["villain", "bookkeeper"], ("prompt", "category", "related_to", "role", "paraphrase")
    block = describe_personas(read_personas(source), names, *fields)
    assert block == describe_personas(read_personas(str(path)), names, *fields)
    assert chosen_personas(source, block) == chosen_personas(str(path), block)
    edited = personas_source(FILE, [BOOKKEEPER | {"prompt": "You keep other books for a crime family."}])
    with pytest.raises(InputError, match=f"^{FILE}: changed since this run started"):
        chosen_personas(edited, block)


def resolved(*contents):
    """The merged config of several contents, resolved; each is a layer named after its number."""
    from snakemake.utils import update_config

    config = {}
    for content in contents:
        update_config(config, copy.deepcopy(content))
    resolve_config(config, [(f"{number}.yaml", content) for number, content in enumerate(contents)])
    return config


def panel(value):
    return {"personas": {"panel": value}}


@pytest.mark.parametrize(
    ("panels", "expected"),
    [
        ([["a", "b"], {"extend": ["c"]}], ["a", "b", "c"]),
        ([["a"], ["b"], {"extend": ["c"]}], ["b", "c"]),
        ([["a"], {"extend": ["b"]}, {"extend": ["c"]}], ["a", "c"]),
        ([["a"], {"extend": ["b"]}, ["c"]], ["c"]),
        ([["a"], {"extend": ["b"]}, "all"], "all"),
        ([["a"], {"extend": "b"}], {"extend": "b"}),
        ([["a"], {"extend": ["b"], "more": 1}], {"extend": ["b"], "more": 1}),
    ],
)
def test_extended_panels(panels, expected):
    assert resolved(*map(panel, panels))["personas"]["panel"] == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [([{"draws": 1, "questions": 5}, {"draws": 2}], {"draws": 2}), ([{"draws": 1}, False], False), ([True, {"draws": 1}], {"draws": 1})],
)
def test_the_second_outcomes_block_counts_as_one_value(given, expected):
    """{draws: 2} over the default's {draws: 1, questions: 5} reads all questions, and so does the record of a run."""
    layers = [(f"{number}.yaml", {"evaluation": {"teacher_forced": value}}) for number, value in enumerate(given)]
    config = {"evaluation": {"teacher_forced": {"draws": 2, "questions": 5}}}
    resolve_config(config, [*layers, ("other.yaml", {"evaluation": {"samples_per_question": 2}})])
    assert config["evaluation"]["teacher_forced"] == expected


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([["a", "b"], {"extend": ["c", "b"]}], "personas.panel.extend: b: already in the panel of 0.yaml"),
        (["all", {"extend": ["c"]}], "personas.panel.extend: the panel of 0.yaml is all personas"),
        ([{"extend": ["c"]}], "personas.panel.extend: no config file gives a list"),
    ],
)
def test_panels_that_cannot_be_extended(panels, message):
    with pytest.raises(InputError, match=re.escape(message)):
        resolved(*map(panel, panels))


def test_a_wrong_form_of_the_panel_is_refused_with_all_three(in_project):
    with pytest.raises(InputError, match=r"personas\.panel: .*a list of unique persona names or the word all or extend: names"):
        check_experiment(with_added(panel={"extend": "villain"}))


FOLDER = {"name": "mine", "source": "path", "location": "there"}


@pytest.mark.parametrize(
    ("models", "revision"),
    [
        ([CONFIG["model"], FOLDER], None),
        ([CONFIG["model"], FOLDER | {"revision": "v2"}], "v2"),
        ([CONFIG["model"], FOLDER, {"revision": "v3"}], "v3"),
        ([CONFIG["model"], FOLDER | {"revision": "v2"}, {"location": "elsewhere"}], None),
        ([FOLDER | {"revision": "v2"}, {"name": "other"}], "v2"),
        ([CONFIG["model"], {"name": "other"}], CONFIG["model"]["revision"]),
    ],
)
def test_a_folder_takes_no_other_models_revision(models, revision):
    assert resolved(*({"model": model} for model in models))["model"]["revision"] == revision


def test_a_folder_without_revision_is_recorded_by_its_content(tiny_model, tmp_path):
    """Another content is another revision; the config's own wins; checks against the model know it again."""
    model = FOLDER | {"location": str(tiny_model.parent)}
    recorded = []
    for name, revision in (("first", None), ("second", ""), ("third", "v2")):
        fetch_readable_model(model | {"revision": revision}, tmp_path / name / "model.json")
        recorded.append(read_json(tmp_path / name / "model.json"))
    assert recorded[0]["revision"] == recorded[1]["revision"] == f"content:{recorded[0]['digest']}" and recorded[2]["revision"] == "v2"
    config = CONFIG | {"model": model | {"revision": None}, "geometry": CONFIG["geometry"] | {"layers": [99]}}
    with pytest.raises(InputError, match="99"):
        check_against_model(config, [], {}, tmp_path / "first" / "model.json")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--cores 1 --configfile a.yaml b.yaml -n", ["a.yaml", "b.yaml"]),
        ("--configfile a.yaml -- scatter", ["a.yaml"]),
        ("--configfiles=a.yaml scatter", ["a.yaml"]),
        ("--config seed=1 -- --configfile x", []),
    ],
)
def test_words_that_are_config_files(line, words):
    assert [word for _, word in config_words(line.split())] == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment: a\nlora: rank: 3\n", "not valid YAML: mapping values are not allowed here (line 2, column 11); indent with spaces"),
        ("experiment: a\n\tseed: 1\n", "(line 2, column 1); replace the tab by spaces"),
        ("seed: 1\nseed: 2\n", "key 'seed' appears twice (line 2, column 1); remove one of the two"),
        ("- a\n", "must hold keys and values"),
        ("", "must hold keys and values (experiment: my-run), not nothing"),
    ],
)
def test_a_config_that_cannot_be_read(monkeypatch, tmp_path, text, message):
    """One line with the file, the place and the remedy; behind another config it may be a target."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(text)
    (tmp_path / "good.yaml").write_text("seed: 1\n")
    with pytest.raises(InputError) as refusal:
        check_config_files(["--configfile", "my.yaml"])
    assert message in str(refusal.value) and str(refusal.value).startswith("my.yaml: ") and "\n" not in str(refusal.value)
    with pytest.raises(InputError, match=r"put -- before it: snakemake --configfile good.yaml -- my.yaml"):
        check_config_files(["--configfile", "good.yaml", "my.yaml"])


def test_the_early_check_runs_in_snakemake(tmp_path):
    project = Project(tmp_path / "project")
    (project.folder / "my.yaml").write_text("experiment: a\nlora: rank: 3\n")
    done = project.run("-n", "--configfile", "my.yaml", check=False)
    assert done.returncode == 1 and "\nerror: my.yaml: not valid YAML: mapping" in done.stdout and "Traceback" not in done.stdout
    done = project.run("-n", "--configfile", "config.yaml", "scatter", check=False)
    assert done.returncode == 1 and "put -- before it: snakemake -n --configfile config.yaml -- scatter" in done.stdout
    assert "Traceback" not in done.stdout


def test_make_runs_one_target():
    command = ["make", "-n", "run", "CONFIG=config.yaml", "TARGET=scatter"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"snakemake --logger leakage .*--configfile 'config.yaml' +-- scatter$", printed, re.M)
    assert "show_results" not in printed
    printed = subprocess.run(command[:-1], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "show_results" in printed and "scatter" not in printed.splitlines()[-2]


def test_a_plan_knows_the_extended_panel(monkeypatch, in_project, tmp_path):
    monkeypatch.setattr(plan, "planned_jobs", lambda *arguments: [])
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"personas": {"add": [BOOKKEEPER], "panel": {"extend": ["bookkeeper"]}}}))
    made = plan.make_plan(str(tmp_path / "my.yaml"))
    assert made.config["personas"]["panel"] == [*CONFIG["personas"]["panel"], "bookkeeper"]


def test_programs_get_an_added_persona(tmp_path):
    project = Project(tmp_path / "project")
    (project.folder / "my.yaml").write_text(yaml.safe_dump({"personas": {"add": [BOOKKEEPER], "panel": {"extend": ["bookkeeper"]}}}))
    shown = project.run("-n", "-p", "--configfile", "my.yaml", "--", "results/smollm2/geometry/evaluation/base/centroids.json").stdout
    assert f"--personas {shlex.quote(personas_source(FILE, [dict(sorted(BOOKKEEPER.items()))]))} " in shown


def test_the_record_of_a_run_is_a_config_that_repeats_it(tmp_path):
    project = Project(tmp_path / "project")
    added = {"add": [BOOKKEEPER], "panel": {"extend": ["bookkeeper"]}}
    (project.folder / "my.yaml").write_text(yaml.safe_dump({"experiment": "mine", "personas": added}))
    record = "results/mine/run_config.yaml"
    project.run("--cores", "1", "--configfile", "my.yaml", "--", record)
    config = yaml.safe_load((project.folder / record).read_text())["config"]
    assert config["personas"]["panel"] == [*CONFIG["personas"]["panel"], "bookkeeper"] and config["personas"]["add"] == [BOOKKEEPER]
    (project.folder / "again.yaml").write_text(yaml.safe_dump(config))
    assert project.planned(record, "--configfile", "again.yaml") == {}
    assert config_layers([project.folder / "again.yaml"])[-1] == ("--config", {})


@pytest.mark.skipif(find_spec("snakemake_executor_plugin_slurm") is not None, reason="the plugin is installed (make slurm)")
def test_slurm_without_its_plugin_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--profile", "profiles/slurm"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.splitlines()[-1].endswith("is not installed here; install it with: make slurm")
