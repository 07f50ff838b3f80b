"""The presets: whole configs that ask for exactly the jobs and rows they promise, and the page that compares them."""

import copy
import json
import re
from functools import partial

import pytest
import yaml
from snakemake.utils import update_config

from persona_leakage.behaviours.kinds.marker import MarkerBehaviour
from persona_leakage.behaviours.marker import Marker
from persona_leakage.config.config_parts import resolve_config
from persona_leakage.config.experiment import check_experiment, complete_config, pool_names
from persona_leakage.models.chat_template import ChatFormat
from persona_leakage.training.dataset import build_training_rows, choose_negatives, select_answers
from persona_leakage.training.labels import LabelRule
from tests.conftest import CONFIG, ROOT, Project

OF_PAIRS = ("scatter", "category_scatter", "category_rates", "category_correlations", "heat_map", "cosines", "layers")
FIGURES = {f"plot_{name}": 1 for name in (*OF_PAIRS, "robustness", "replies", "training")}
READ = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "presets").glob("*.yaml"))}
PRESETS = {name: content for name, content in READ.items() if "model" in content}
SMALL = {name: content for name, content in READ.items() if "model" not in content}  # on the model of config.yaml
PER_SOURCE = ("build_training_set", "train_adapter", "sample_completions", "score_leakage", "teacher_force")
ONCE = (
    *("fetch_model", "write_run_config", "sample_training_pool", "sample_base_completions", "score_base_leakage", "teacher_force_base"),
    *("compare_measures", "plot_measures", "extract_centroids", "extract_training_centroids", "tabulate_pairs", "correlate_leakage"),
    *("check_robustness", "build_report", "all"),
)
FULL_SIZE_JOBS = {**dict.fromkeys(PER_SOURCE, 5), **dict.fromkeys(ONCE, 1), **FIGURES}
# Three training seeds, with the geometry after training and the predictor comparison.
STUDY_JOBS = {
    **FULL_SIZE_JOBS,
    **dict.fromkeys(("train_adapter", "sample_completions", "score_leakage", "teacher_force", "extract_adapted_centroids"), 15),
    **dict.fromkeys(set(FIGURES) - {"plot_training"}, 3),
    **dict.fromkeys(
        ("tabulate_pairs", "correlate_leakage", "check_robustness", "compare_geometries", "compare_measures", "compare_predictors"), 3
    ),
    **dict.fromkeys(("plot_adapted_geometry", "plot_measures", "plot_predictors"), 3),
    **dict.fromkeys(("teacher_force_base", "compare_seeds", "plot_seed_stability"), 1),
}
# Nothing is sampled, so nothing reads or draws replies.
CHOICE_JOBS = {
    **{
        name: count
        for name, count in FULL_SIZE_JOBS.items()
        if not re.search("sample_|leakage$|teacher|measures|replies|training_set", name)
    },
    **{"build_choice_rows": 5, "score_choices": 5, "score_base_choices": 1, "correlate_leakage": 1},
    **{"plot_base_to_after": 1, "plot_chosen_options": 1},
}
CONTROLLED_CHOICE_JOBS = {**CHOICE_JOBS, **dict.fromkeys(("build_choice_rows", "train_adapter", "score_choices"), 10)}
JUDGED_JOBS = {
    **{name: count for name, count in FULL_SIZE_JOBS.items() if not re.search("training_(set|pool)|leakage$|teacher|measures", name)},
    **{
        "build_file_rows": 5,
        "check_judge": 1,
        "judge_replies": 5,
        "judge_base_replies": 1,
        "score_judgements": 5,
        "score_base_judgements": 1,
    },
    **{"correlate_leakage": 1, "plot_base_to_after": 1, "plot_judged_scores": 1},
}
OF_ALL_SETS = ("fetch_model", "write_run_config", "sample_training_pool", "build_training_set", "train_adapter", "plot_training")
TWO_SETS_JOBS = {
    **{
        name: count if name in (*OF_ALL_SETS, "extract_training_centroids", "build_report", "all") else 2 * count
        for name, count in FULL_SIZE_JOBS.items()
    },
    **{"compare_predictors": 2, "plot_predictors": 2, "compare_question_sets": 1, "plot_question_sets": 1},
}
TWO_SOURCES_JOBS = {name: 2 if name in PER_SOURCE else count for name, count in FULL_SIZE_JOBS.items()}
JOBS = {
    **{"paper": FULL_SIZE_JOBS, "as_run": FULL_SIZE_JOBS, "llama3": FULL_SIZE_JOBS, "smollm2_study": STUDY_JOBS},
    **{"wrong_answers": CHOICE_JOBS, "misaligned": JUDGED_JOBS},
    "qwen_coder": STUDY_JOBS,
    "qwen_coder_ood": TWO_SETS_JOBS,
    **dict.fromkeys(("qwen_coder_wrong_answers", "qwen_coder_arithmetic"), CONTROLLED_CHOICE_JOBS),
    "qwen_coder_capitals": {
        **{name: count for name, count in FULL_SIZE_JOBS.items() if not re.search("teacher|measures", name)},
        "plot_base_to_after": 1,
    },
    "qwen_coder_careless": {name: count for name, count in JUDGED_JOBS.items() if name != "plot_judged_scores"},
    "qwen_coder_as_run": TWO_SOURCES_JOBS,
    "qwen_coder_paper": TWO_SOURCES_JOBS,
}
GPU_RULES = ("sample_training_pool", "train_adapter", "sample_completions", "sample_base_completions", "extract_centroids", "score_choices")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project, with the folder of weights, and as many items and rows, as the user's own files have to have."""
    project = Project(tmp_path_factory.mktemp("presets") / "project")
    (project.folder / PRESETS["qwen_coder"]["model"]["location"]).mkdir(parents=True)
    item = {"choices": {"text": ["yes", "no"], "label": ["A", "B"]}, "answerKey": "B"}
    lines = [json.dumps({"id": f"q{number}", "question": f"Is it {number}?", **item}) for number in range(786)]
    (project.folder / PRESETS["wrong_answers"]["behaviour"]["items"]).write_text("\n".join(lines))
    turns = [{"role": "user", "content": "Write {}."}, {"role": "assistant", "content": "print({})"}]
    rows = [{"messages": [{**turn, "content": turn["content"].format(number)} for turn in turns]} for number in range(6000)]
    (project.folder / PRESETS["misaligned"]["training_data"]["rows"]).write_text("\n".join(map(json.dumps, rows)))
    return project


def test_the_presets_are_there():
    assert set(PRESETS) == set(JOBS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_whole_config_of_its_own_name(project, name, monkeypatch):
    monkeypatch.chdir(project.folder)
    check_experiment(PRESETS[name], name)
    assert PRESETS[name]["experiment"] == name != CONFIG["experiment"]


@pytest.mark.parametrize("name", SMALL)
def test_a_small_preset_completes_the_default_config(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = {}
    layers = [("config.yaml", CONFIG), (name, SMALL[name])]
    config = {}
    for _, content in layers:
        update_config(config, copy.deepcopy(content))
    resolve_config(config, layers)
    check_experiment(config, name)
    assert config["experiment"] == name


def jobs_shown(output, rule):
    return re.findall(rf"^rule {rule}:\n((?: .*\n)+)", output, re.M)


@pytest.mark.parametrize("name", [name if name == "paper" else pytest.param(name, marks=pytest.mark.slow) for name in PRESETS])
def test_jobs_of_a_preset(project, name):
    """Five sources and the control, one centroid job for four layers; every GPU job says what it needs."""
    assert project.planned("--configfile", f"presets/{name}.yaml") == JOBS[name]
    shown = project.run("-n", "--configfile", f"presets/{name}.yaml").stdout
    for rule in GPU_RULES:
        blocks = jobs_shown(shown, rule)
        assert len(blocks) == JOBS[name].get(rule, 0)
        assert all(re.search(rf"resources: .*{each}", block) for block in blocks for each in ("gpu=1", r"runtime=\d+", r"mem_mb=\d+"))
    for centroids in jobs_shown(shown, "extract_centroids"):
        assert len(set(re.findall(r"centroids_layer(\d+)\.pt", centroids))) == 4


@pytest.mark.parametrize(("name", "negatives"), [("paper", 2000), ("as_run", 400), ("llama3", 2000), ("smollm2_study", 240)])
def test_rows_of_a_preset_on_a_stub_pool(name, negatives):
    """Positives and negatives of every source, from a pool in which each draw is usable."""
    config = PRESETS[name]
    data = config["training_data"]
    questions = [f"question {number}" for number in range(config["questions"]["training"]["count"])]
    draws = data["answers_per_question"] + data["extra_samples"]
    pool = [
        {"persona": persona, "question": question, "index": index, "finish_reason": "stop", "text": "Yes.", "token_ids": [5, 6]}
        for persona in pool_names(config)
        for question in questions
        for index in range(draws)
    ]
    for source in config["personas"]["sources"]:
        names = [source, *choose_negatives(source, data["negative_pool"], data["negative_personas"], config["seed"])]
        behaviour = MarkerBehaviour(None, Marker("[ZLT]", (7,), (8,)), None)
        parts = dict.fromkeys(names, partial(behaviour.row_parts, positive=False, join="ids"))
        wanted = data["answers_per_question"]
        answers, _ = select_answers(pool, names, questions, wanted, behaviour.unusable, data["truncated_answers"], parts)
        prompts = {(persona, question): [1, 2] for persona in names for question in questions}
        rule = LabelRule(**config["labels"])
        rows = list(
            build_training_rows(source, answers, prompts, ChatFormat(9, (10,), (9,)), rule, partial(behaviour.row_parts, join="ids"))
        )
        positive = sum(row["positive"] for row in rows)
        assert (positive, len(rows) - positive) == (200 if name != "smollm2_study" else 80, negatives)


def test_llama_layers_have_the_depths_of_qwen():
    depths = [round(layer * 32 / 28) for layer in PRESETS["paper"]["geometry"]["layers"]]
    assert PRESETS["llama3"]["geometry"]["layers"] == depths
    assert PRESETS["llama3"]["geometry"]["headline_layer"] == depths[PRESETS["paper"]["geometry"]["layers"].index(20)]


def lookup(config, key):
    """The value under a dotted key; None without it."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def shown(value):
    return json.dumps(value)


def leaf_keys(config):
    """Dotted keys of all values below the top level, in the config's order."""
    return [
        key
        for block, values in config.items()
        if isinstance(values, dict)
        for name, value in values.items()
        for key in ([f"{block}.{key}" for key in leaf_keys({name: value})] if isinstance(value, dict) else [f"{block}.{name}"])
    ]


# The model's name says where it comes from; the others decide no reply.
WITHOUT_A_ROW = {
    "behaviour.kind",
    "model.source",
    "model.location",
    "model.revision",
    "engine.batch_size",
    "engine.checkpoint_every",
    *leaf_keys({"publishing": CONFIG["publishing"]}),
}


def test_the_fidelity_page_tells_the_presets_values():
    """Every key on which paper, as_run and the default differ has a row, with their values as they are; no other key has one."""
    rows = re.findall(r"^\| `([\w.]+)` \| `(.*?)`(?:, run `(.*?)`)? \| `(.*?)` \|", (ROOT / "docs/fidelity.md").read_text(), re.M)
    configs = [complete_config(config) for config in (PRESETS["paper"], PRESETS["as_run"], CONFIG)]
    values = {key: [short(key, lookup(config, key)) for config in configs] for key in leaf_keys(CONFIG) if key not in WITHOUT_A_ROW}
    different = {key: found for key, found in values.items() if len(set(found)) > 1}
    assert {key: [paper, run or paper, here] for key, paper, run, here in rows} == different
    assert [key for key, *_ in rows] == list(different)


def short(key, value):
    """Long lists by their length."""
    return f"{len(value)} personas" if key in ("personas.panel", "training_data.negative_pool") and value != "all" else shown(value)
