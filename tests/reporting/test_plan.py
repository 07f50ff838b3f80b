"""The plan before a run: jobs, tokens, hours and disk, by hand and against what a finished run then held."""

import json
import re

import pytest
import yaml

from persona_leakage.config.personas import Persona, read_personas, read_question_sets
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from persona_leakage.reporting.cost_plan import Sizes, plan_disk, plan_jobs
from persona_leakage.reporting.plan import parse_jobs
from persona_leakage.reporting.rates import Rates
from tests.conftest import CONFIG, ROOT, run_program

RATES = ROOT / "resources/rates.yaml"
MODEL = {
    "parameters": 1000,
    "bytes": 5000,
    "hidden_size": 8,
    "lora_parameters_per_rank": 10,
    "template_tokens": 10,
    "tokens_per_character": 0.5,
    "replies": [{"suffix": "", "mean_tokens": 50, "from": "a test"}],
}


def small_config(**changes):
    """Two sources, one negative each, 3 personas, 2 training and 4 evaluation questions, 5 replies."""
    return {
        **CONFIG,
        "personas": {"file": "", "sources": ["a", "b"], "no_persona_prompts": [], "panel": ["a", "b", "c"]},
        "questions": {"training": {"set": "t", "count": 2}, "evaluation": [{"set": "e", "count": 4}], "suffix": ""},
        "training_data": {
            **CONFIG["training_data"],
            "answers_per_question": 3,
            "extra_samples": 1,
            "negative_personas": 1,
            "negative_pool": ["a", "c"],
            "sampling": {"temperature": 1, "top_p": 1, "max_new_tokens": 40},
        },
        "evaluation": {
            **CONFIG["evaluation"],
            "samples_per_question": 5,
            "sampling": {"temperature": 1, "top_p": 1, "max_new_tokens": 100},
        },
        **changes,
    }


def small_sizes(config, model=MODEL):
    personas = {name: Persona(name, "k", (), "x" * 10) for name in "abc"}
    return Sizes(config, personas, {"t": ["q" * 20] * 2, "e": ["q" * 20] * 4}, model)


def test_sizes_by_hand():
    config = small_config()
    sizes = small_sizes(config)
    assert sizes.pool_tokens() == 3 * 2 * 4 * 40  # personas a, b, c; 3 + 1 draws; 50 tokens cut at 40
    assert sizes.rows() == 2 * 2 * 3
    assert sizes.training_tokens() == 12 * (10 + 15 + 40) * config["training"]["epochs"]
    assert sizes.replies() == 3 * 4 * 5
    assert sizes.evaluation_tokens() == 60 * 50
    assert sizes.centroid_tokens() == 3 * 4 * 25
    assert sizes.held_out_tokens() == 3 * 2 * 25
    assert sizes.adapter_parameters() == 320
    assert sizes.divergence_tokens() == 0
    config["analysis"] = {**config["analysis"], "divergence": {"replies_per_question": 2, "tokens": 7}}
    # Replies and questions; each source's replies behind all three prompts, the other persona's behind its own and the two sources'.
    assert small_sizes(config).divergence_tokens() == 2 * 4 * (2 * 3 + 1 * 3) * (25 + 7)


def test_rows_of_a_file_are_counted_and_measured(tmp_path):
    """Five rows, of which three are used: source and one negative; 20 characters of question, 20 of answer, 20 of suffix."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{row}" * 20, "completion": "a" * 20}) + "\n" for row in range(5)))
    config = small_config(questions={**small_config()["questions"], "suffix": "s" * 20})
    data = {**config["training_data"], "rows": str(path), "clean_rows": None, "positives": 3}
    sizes = small_sizes({**config, "training_data": data})
    assert sizes.rows() == 2 * 3
    assert sizes.training_tokens() == 6 * (10 + (10 + 60) / 2) * config["training"]["epochs"]
    assert small_sizes({**config, "training_data": {**data, "positives": None}}).rows() == 2 * 5


ITEMS = [
    {"id": f"i{number}", "question": f"{number}" * 20, "choices": ["abcd", "efgh", "ijkl", "mnop"], "answer": 0} for number in range(5)
]


def choice_config(folder, **block):
    """The small config with 2 items of training rows and 3 that are scored, of 20 characters and four options of 4."""
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    block = {
        "kind": "choice",
        "items": str(folder / "items.jsonl"),
        "train": 2,
        "evaluate": 3,
        "scoring": "text",
        "order": "shuffled",
        **block,
    }
    return small_config(behaviour=block)


def test_sizes_of_multiple_choice_by_hand(tmp_path):
    """A prompt has 10 tokens and half a token for each character: of the persona (10), the question and, in letters, a line an option."""
    config = choice_config(tmp_path)
    sizes = small_sizes(config)
    assert sizes.pool_tokens() == sizes.replies() == sizes.evaluation_tokens() == 0
    assert sizes.rows() == 2 * 2
    assert sizes.training_tokens() == 4 * (10 + 5 + (20 + 1 + 4) / 2) * config["training"]["epochs"]
    questions, listed, options = 3 * 25, 3 * (25 + 4 * 5 / 2), 3 * 4 * 2
    assert sizes.option_tokens() == 3 * (questions + listed + 2 * options)
    assert small_sizes(choice_config(tmp_path, order="rotations")).option_tokens() == 3 * (questions + 4 * listed + 2 * options)
    letters = small_sizes(choice_config(tmp_path, scoring="letters"))
    assert letters.training_tokens() == 4 * (25 + 4 * 5 / 2) * config["training"]["epochs"]
    jobs = {"score_base_choices": 1, "score_choices": 2, "build_choice_rows": 2}
    base, adapters, rows = plan_jobs(config, jobs, sizes, lambda stage: {"options": (100, 30), "other": (None, 5)}[stage], True)
    assert base.tokens == sizes.option_tokens() and adapters.tokens == 2 * base.tokens
    assert base.gpu and adapters.hours * 3600 == 60 + adapters.tokens / 100 and rows.hours * 3600 == 10


def test_items_are_read_at_the_rate_of_prompts_unless_measured_here():
    rates = Rates(RATES, "cpu2", "smollm2-135m-instruct")
    assert rates.rate("options") == rates.rate("centroids")
    rates.measured = {"options": {"tokens_per_second": 7, "start_seconds": 1}}
    assert rates.rate("options") == (7, 1)


def test_unknown_reply_length_is_the_limit():
    length, origin = small_sizes(small_config(), {**MODEL, "replies": []}).reply({"max_new_tokens": 77})
    assert length == 77 and "limit" in origin


def test_hours_by_hand():
    config, jobs = small_config(), {"sample_completions": 2, "score_leakage": 2}
    lines = plan_jobs(config, jobs, small_sizes(config), lambda stage: (None, 5) if stage == "other" else (100, 30), False)
    sampling, scoring = lines
    assert sampling.tokens == 2 * 3000 and sampling.gpu and not scoring.gpu
    assert sampling.hours * 3600 == pytest.approx(2 * 30 + 60)
    assert scoring.hours * 3600 == 10


def test_a_local_judge_reads_each_reply_after_each_prompt():
    """A prompt has 10 tokens and half a token a character, of the judge's text (6) and of the question (20); a reply has 50."""
    judge = {"backend": "local", "likelihood": {"shown": "a" * 6, "not_shown": "b" * 6}}
    config = small_config(behaviour={"kind": "judged", "judge": judge, "prompts": None})
    jobs = {"judge_replies": 2, "check_judge": 1}
    judged, check = plan_jobs(config, jobs, small_sizes(config), {"centroids": (100, 30), "other": (None, 5)}.get, True)
    assert judged.tokens == 2 * (3 * 4 * 5) * 2 * (10 + (6 + 20) / 2 + 50) and judged.gpu and not check.gpu
    assert judged.hours * 3600 == pytest.approx(60 + judged.tokens / 100)
    prompts = {"score": "careless", "require": {}, "prompts": str(ROOT / "resources/judges/careless_advice.yaml")}
    config = small_config(behaviour={"kind": "judged", "judge": {"backend": "local", "likelihood": None}, **prompts})
    assert 60 * 60 < small_sizes(config).judged_tokens() < 60 * 1000
    config["behaviour"]["judge"]["backend"] = "file"
    assert small_sizes(config).judged_tokens() == 0


def test_disk_by_hand():
    config = small_config(geometry={"layers": [1, 2], "headline_layer": 1, "positions": ["last_prompt_token"], "precision": "auto"})
    disk = plan_disk(config, small_sizes(config), 2)
    assert disk["adapters"] == 2 * 320 * 4
    config["training_data"]["controls"] = ["clean", "shuffled"]
    with_controls = plan_disk(config, small_sizes(config), 2)
    assert with_controls["adapters"] == 3 * disk["adapters"]
    assert with_controls["replies and training rows"] == (2 * (7 * 3000 + 960) + 6 * 12 * 65) * 2
    assert disk["centroids"] == (2 * 3 * 5 + 3 * 3) * 8 * 4  # layers, personas, vectors; beside them the training questions
    assert disk["replies and training rows"] == (2 * (3 * 3000 + 960) + 2 * 12 * 65) * 2


def test_rates_are_taken_from_the_nearest_model_and_scaled(tmp_path):
    content = yaml.safe_load(RATES.read_text())
    content["models"]["mine"] = {**MODEL, "parameters": 2 * content["models"]["qwen2.5-7b-instruct"]["parameters"]}
    path = tmp_path / "rates.yaml"
    path.write_text(yaml.safe_dump(content))
    known, mine = Rates(path, "h200", "qwen2.5-7b-instruct"), Rates(path, "h200", "mine")
    assert mine.rate("train")[0] == pytest.approx(known.rate("train")[0] / 2)
    assert mine.rate("train")[1] == known.rate("train")[1]
    assert "scaled by 0.50" in next(mine.sources()) and "scaled" not in next(known.sources())
    assert Rates(path, "cpu2", "mine").rate("sample_vllm") is None


@pytest.mark.parametrize(
    ("hardware", "model", "message"), [("abacus", "mine", "no entry 'abacus'; it has cpu2, h200"), ("h200", "mine", "no entry 'mine'")]
)
def test_what_has_no_entry_is_named(hardware, model, message):
    with pytest.raises(InputError, match=message):
        Rates(RATES, hardware, model)


def test_adapter_parameters_of_the_table(smollm2):
    """Rows and columns of the seven matrices of every block, counted on the real model's config."""
    config = read_json(smollm2.parent / "config.json")
    hidden, inner, kv = config["hidden_size"], config["intermediate_size"], config["num_key_value_heads"] * config["head_dim"]
    block = 2 * (hidden + hidden) + 2 * (hidden + kv) + 3 * (hidden + inner)
    entry = yaml.safe_load(RATES.read_text())["models"]["smollm2-135m-instruct"]
    assert entry["lora_parameters_per_rank"] == block * config["num_hidden_layers"]
    assert entry["hidden_size"] == hidden


@pytest.fixture(scope="module")
def plan_of_paper(tmp_path_factory):
    done = run_program("plan_run", "--config", "presets/paper.yaml", "--all", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_plan_of_the_paper_preset(plan_of_paper):
    """Jobs of every rule; tokens by hand: 255 for each of 22,200 replies an adapter; hours and disk are there."""
    jobs = dict(re.findall(r"^(\w+) +(\d+) ", plan_of_paper, re.M))
    assert jobs["train_adapter"] == jobs["sample_completions"] == "5" and jobs["fetch_model"] == "1"
    assert f"{5 * 22_200 * 255:,}" in plan_of_paper and f"{(6 * 22_200 + 11 * 40 * 15) * 255:,}" in plan_of_paper
    assert re.search(r"^GPU-hours: \d", plan_of_paper, re.M) and "disk: model 15.23 GB" in plan_of_paper


def test_plan_of_a_bad_config_says_what_snakemake_says(tmp_path):
    (tmp_path / "bad.yaml").write_text("training: {epochs: 0}\n")
    done = run_program("plan_run", "--config", tmp_path / "bad.yaml", cwd=ROOT)
    assert done.returncode == 1 and "training.epochs: 0" in done.stderr


def test_planned_tokens_are_those_of_the_run(finished_project):
    """Replies, rows and training tokens of the plan against a finished run; reply lengths from the run itself."""
    config = yaml.safe_load((finished_project.folder / "config.yaml").read_text())
    personas, questions = read_personas(ROOT / config["personas"]["file"]), read_question_sets(ROOT / config["questions"]["file"])
    home = finished_project.folder / "results/tiny"
    base = read_json(home / "evaluation/evaluation/base/completions.json")
    known = {"suffix": config["questions"]["suffix"], "mean_tokens": base["tokens"] / base["replies"], "from": "the run"}
    sizes = Sizes(config, personas, questions, {**MODEL, "template_tokens": 12, "tokens_per_character": 0.3, "replies": [known]})
    assert sizes.replies() == base["replies"]
    assert sizes.rows() == len(read_jsonl_gz(home / "training/villain/train.jsonl.gz"))
    trained = read_json(home / "training/villain/seed42/metrics.json")["tokens"]
    assert trained / 2 < sizes.training_tokens() < trained * 2
    pool = sum(len(record["token_ids"]) for record in read_jsonl_gz(home / "training/pool.jsonl.gz"))
    assert pool / 2 < sizes.pool_tokens() < pool * 2


def test_a_finished_experiment_costs_nothing(finished_project):
    done = run_program("plan_run", "--config", "config.yaml", cwd=finished_project.folder)
    assert done.returncode == 0 and done.stdout.endswith("nothing to be done\n"), done.stderr


def test_an_added_persona_is_planned_as_its_own_replies(project_copy):
    """6 personas, 2 questions, 2 draws of the base model and two adapters: 72 replies are there, and a seventh persona needs 12."""
    config = yaml.safe_load((project_copy.folder / "config.yaml").read_text())
    project_copy.edit_config(personas__panel=[*config["personas"]["panel"], "lawyer"])
    done = run_program("plan_run", "--config", "config.yaml", cwd=project_copy.folder)
    assert done.returncode == 0 and "\nreplies: about 12 to sample; 72 are kept\n" in done.stdout, done.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+) ", done.stdout, re.M))
    assert jobs["sample_completions"] == "2" and "train_adapter" not in jobs
    assert "measured here" in done.stdout and "counted in its files" in done.stdout


def test_jobs_of_a_dry_run():
    text = """
[Sat Nov 28 15:13:24 2026]
localrule train_adapter:
    input: a, b
    output: results/x/a.safetensors, results/x/b.json
    jobid: 3
    benchmark: benchmarks/x/train_adapter/villain/seed42.tsv
    reason: Missing output files: results/x/b.json
    wildcards: experiment=x, source=villain, seed=42
[Sat Nov 28 15:13:24 2026]
rule all:
    input: a
    jobid: 0
"""
    (job,) = parse_jobs(text)
    assert job.rule == "train_adapter" and job.outputs == ("results/x/a.safetensors", "results/x/b.json")
    assert job.wildcards == {"experiment": "x", "source": "villain", "seed": "42"} and job.benchmark.endswith("villain/seed42.tsv")
