"""An experiment whose paths, prompts, questions and behaviour are full of shell, Snakemake and template syntax, run to its end."""

import gzip
import json
import shutil

import pytest
import yaml

from persona_leakage.config.blocks.experiment import Experiment
from persona_leakage.config.messages import parse
from persona_leakage.figures.style import plt, save_figure, words
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import CONFIG, make_tiny_project, run_program

RUN = "$(touch CANARY) `touch CANARY`; touch CANARY;"
FOLDER = f'it\'s "odd" & {RUN} | %s * ünï\t\u202eעב'
MODEL_FOLDER = f"-m {{layer}} {{{{ input }}}} '\" {RUN}"
# No blank in the second: with one argparse takes it for a value in spite of its dash.
FILES = {"personas": "-my 'own' {source}/\"people\" $(touch CANARY).yaml", "questions": "-{questions}`touch${IFS}CANARY`\n.yaml"}
PROMPTS = [
    "You say {source} and {{ 7 * 7 }} {input}.",
    'You are \'; touch CANARY; "$(touch CANARY)".',
    "You like `touch CANARY` %s \\n $HOME.",
    "\u202eYou write\u202c from שמאל, {%",
]
TRAINING = [
    "Why {wildcards.source} or {0}?",
    "What is $(touch CANARY) `id`?",
    "How -n --help 'is' \"it\"?",
    "Who \\ %(x)s $1 && | > CANARY?",
]
EVALUATION = ["Is {experiment} a {seed}?", "Is ${HOME} {{question}} <b>&amp;</b> שמאל?"]
SUFFIX = " {source}{output}{{ x }} '\"\\ $(touch CANARY)\u202e\n--marker -n"
MARKER = "[{seed}$HOME`id`'\"\\%s]"


@pytest.fixture(scope="module", params=[pytest.param("whole", marks=pytest.mark.slow)])
def strange(tmp_path_factory, tiny_model):
    home = tmp_path_factory.mktemp("strange")
    model = home / MODEL_FOLDER
    shutil.copytree(tiny_model.parent, model, ignore=shutil.ignore_patterns("model.json"))
    project = make_tiny_project(home / FOLDER, model)
    personas = [
        {"name": name, "category": "original", "related_to": [], "prompt": prompt}
        for name, prompt in zip(("one", "two", "three", "four"), PROMPTS, strict=True)
    ]
    contents = {"personas": {"personas": personas}, "questions": {"sets": {"training": TRAINING, "evaluation": EVALUATION}}}
    for name, content in contents.items():
        path = project.folder / FILES[name]
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    project.edit_config(
        experiment="0--x.y_",
        personas={"file": FILES["personas"], "sources": ["one"], "no_persona_prompts": [], "panel": "all"},
        questions__file=FILES["questions"],
        questions__suffix=SUFFIX,
        behaviour={"marker": MARKER, "separator": "\n\n", "match_mode": "literal"},
        training_data__negative_pool=["two", "three"],
        training__epochs=2,
    )
    project.run("--cores", "2")
    return project


def lines_of(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_the_experiment_ends_and_nothing_in_it_was_run(strange):
    assert strange.planned() == {}
    assert [path for path in strange.folder.parent.rglob("*") if path.name.startswith("CANARY")] == []
    assert (strange.folder / "results/0--x.y_/report/index.html").stat().st_size > 100_000


def test_every_text_reaches_the_model_as_it_was_written(strange):
    from transformers import AutoTokenizer

    home = strange.folder / "results/0--x.y_"
    tokenizer = AutoTokenizer.from_pretrained(strange.folder.parent / MODEL_FOLDER)
    rows = [tokenizer.decode(row["token_ids"]) for row in lines_of(home / "training/one/train.jsonl.gz")]
    for question in TRAINING:
        prompt = f"{PROMPTS[0]}<|im_end|>\n<|im_start|>user\n{question}{SUFFIX}<|im_end|>"
        assert any(prompt in row and f"\n\n{MARKER}<|im_end|>" in row for row in rows)
    replies = lines_of(home / "evaluation/evaluation/one/seed42/completions.jsonl.gz")
    assert {reply["question"] for reply in replies} == set(EVALUATION)
    cells = json.loads((home / "evaluation/evaluation/one/seed42/marker_eval.json").read_text())
    assert cells["meta"]["behaviour"]["marker"] == MARKER and list(cells["personas"]) == ["one", "two", "three", "four"]


@pytest.mark.parametrize("text", ["a\0b", "half \ud83d of a pair"])
@pytest.mark.parametrize("key", ["suffix", "file"])
def test_texts_that_nothing_can_hold_are_refused(key, text):
    config = {**CONFIG, "questions": {**CONFIG["questions"], key: text}}
    with pytest.raises(InputError, match=rf"questions\.{key}: .* must not hold NUL") as refusal:
        parse(Experiment, config, "my.yaml")
    str(refusal.value).encode()


NAMES = ["$x$", "$\\frac{$", "a_b^{", "\\alpha", "_hidden", "%s {0}", "\x00\x1b[31m", "\u202eעב", "<b>&", "-->", "日本"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_stand_in_a_figure(tmp_path, name):
    from xml.etree import ElementTree

    figure, axis = plt.subplots()
    axis.plot([1, 2], label=words(name))
    axis.set_title(f"{words(name)}\n{words(name)}")
    axis.legend()
    save_figure(figure, tmp_path / "figure.svg")
    ElementTree.parse(tmp_path / "figure.svg")


@pytest.mark.slow
def test_a_table_of_strange_names_gives_every_figure_of_pairs(tmp_path):
    rows = ["layer,source,persona,category,related,cosine,rate,found,total"]
    for source in ("$a$", "b_{c}"):
        for index, persona in enumerate(["$\\frac$", "{0}", "=1+1", "x$y", "-->", "<i>"]):
            rows.append(f"3,{source},{persona},$\\c{index % 2}$,false,{index / 10},{index / 10},{index},10")
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    pairs = ("--pairs", "pairs.csv")
    assert run_program("correlate_leakage", *pairs, "--output", "correlation.json", cwd=tmp_path).returncode == 0
    assert run_program("check_robustness", *pairs, "--output", "robustness.json", cwd=tmp_path).returncode == 0
    for name, inputs in {
        "scatter": (*pairs, "--correlation", "correlation.json"),
        "category_scatter": pairs,
        "category_rates": ("--correlation", "correlation.json"),
        "heat_map": pairs,
        "category_correlations": ("--correlation", "correlation.json"),
        "robustness": ("--robustness", "robustness.json"),
    }.items():
        done = run_program("plot_figure", name, *inputs, "--output", f"{name}.svg", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
