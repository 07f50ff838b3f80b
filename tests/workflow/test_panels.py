"""Question sets, paraphrases and prompts without a persona as optional analyses: a tiny experiment with all three."""

import json
import re

import pytest
import torch
import yaml

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz, sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.intervals import wilson_interval
from persona_leakage.models.chat_template import NO_PERSONA, no_persona_ids, no_persona_text
from persona_leakage.statistics.comparisons.no_persona_prompts import cosines_beside, describe_prompts
from tests.conftest import CHATML, ROOT, make_tiny_project
from tests.reporting.test_report import check_numbers
from tests.support.families import THINKING

PANEL = [f"{role}{style}" for role in ("villain", "comedian", "assistant", "nurse", "judge", "ghost") for style in ("", "_scene")]
LEAKING = ("nurse", "judge", "ghost_scene")
STATES = ("base", "villain/seed42", "comedian/seed42")


@pytest.fixture(scope="module", params=[pytest.param("whole", marks=pytest.mark.slow)])
def project(tmp_path_factory, tiny_model):
    """A tiny experiment with all three axes on, run to its end."""
    project = make_tiny_project(tmp_path_factory.mktemp("panels") / "project", tiny_model.parent)
    project.edit_config(
        personas__file="resources/personas_paraphrases.yaml",
        personas__panel=PANEL,
        personas__no_persona_prompts=list(NO_PERSONA),
        questions__evaluation=[{"set": "evaluation", "count": 5}, {"set": "ood_math", "count": 6}],
        behaviour__marker="iou",  # no prompt holds it, long random replies of the tiny model often do: there is leakage to compare
        evaluation__sampling={"temperature": 1.0, "top_p": 0.9, "max_new_tokens": 60},
        engine__batch_size=64,
        engine__checkpoint_every=64,
        analysis__min_category_size=3,
        analysis__permutations=99,
        analysis__bootstraps=200,
    )
    project.run("--cores", "2", "evaluations")
    let_sources_show(project, "iou")
    project.run("--cores", "2")
    return project


def let_sources_show(project, marker):
    """Put the marker after the replies of each source and of some bystanders, which the tiny model hardly teaches.

    Statistics leave out sources without it, and sources whose bystanders do not differ.
    """
    for path in (project.folder / "results/tiny/evaluation").glob("*/*/seed42/completions.jsonl.gz"):
        records = [
            record | {"text": record["text"] + marker} if record["persona"] in (path.parts[-3], *LEAKING) else record
            for record in read_jsonl_gz(path)
        ]
        write_jsonl_gz(path, records)
        meta = path.with_name("completions.json")
        write_json(meta, read_json(meta) | {"sha256": sha256_of_file(path)})


def read(path):
    return json.loads(path.read_text())


def test_off_there_is_no_section(finished_project):
    page = (finished_project.folder / "results/tiny/report/index.html").read_text()
    sections = "question-sets|paraphrases|no-persona-prompts|seeds|predictors|sweep|measures|adapted-geometry|controls|judge"
    assert not re.search(f'id="({sections})"', page)


def test_every_file_is_there(project):
    home = project.folder / "results/tiny"
    assert project.planned() == {}
    for kind in ("pdf", "png", "svg"):
        assert (home / f"figures/question_sets/seed42/question_sets.{kind}").stat().st_size > 0
        for questions in ("evaluation", "ood_math"):
            for name in ("paraphrases", "no_persona_prompts"):
                assert (home / f"figures/{questions}/seed42/{name}.{kind}").stat().st_size > 0


def test_rates_without_a_persona_are_those_of_their_replies(project):
    """Counted again from the files: each prompt has its replies of each state, and none of them is in the panel's table."""
    from persona_leakage.infrastructure.files import read_jsonl_gz

    home = project.folder / "results/tiny"
    result = read(home / "analysis/evaluation/seed42/no_persona_prompts.json")
    for state in STATES:
        records = list(read_jsonl_gz(home / f"no_persona_prompts/evaluation/{state}/completions.jsonl.gz"))
        assert len(records) == len(NO_PERSONA) * 5 * 2
        cells = result["base"] if state == "base" else result["sources"][state.split("/")[0]]
        for variant in NO_PERSONA:
            shown = ["iou" in record["text"] for record in records if record["persona"] == variant]
            assert (cells[variant]["found"], cells[variant]["total"]) == (sum(shown), len(shown))
            assert cells[variant]["interval"] == wilson_interval(sum(shown), len(shown))
    assert not any(variant in (home / "analysis/evaluation/seed42/pairs.csv").read_text() for variant in NO_PERSONA)
    assert [prompt["same_as"] for prompt in result["prompts"].values()] == [None, None]


def test_cosines_without_a_persona(project):
    """Centred on the panel without them; with the source's own vector the cosine is 1."""
    home = project.folder / "results/tiny"
    result = read(home / "analysis/evaluation/seed42/no_persona_prompts.json")
    own, panel = (
        torch.load(home / f"{folder}/base/centroids_layer1.pt", weights_only=True)
        for folder in ("no_persona_prompts/evaluation", "geometry/evaluation")
    )
    bank, vectors = panel["centroids"].double(), own["centroids"].double()
    origin = panel["personas"].index("comedian")
    shift = bank.mean(dim=0)
    for index, variant in enumerate(own["personas"]):
        cell = result["sources"]["comedian"][variant]
        assert cell["cosine"] == pytest.approx(float(torch.cosine_similarity(vectors[index] - shift, bank[origin] - shift, dim=0)))
        assert cell["cosine_raw"] == pytest.approx(float(torch.cosine_similarity(vectors[index], bank[origin], dim=0)))
    assert cosines_beside(bank.numpy()[[origin]], bank.numpy(), origin, True) == pytest.approx([1])


def test_the_report_has_the_sections_and_every_number_in_a_file(project):
    page = project.folder / "results/tiny/report/index.html"
    text = page.read_text()
    for name in ("question-sets", "paraphrases", "no-persona-prompts"):
        assert f'<h2 id="{name}">' in text and f'href="#{name}"' in text
    for file in (
        "analysis/question_sets/seed42.json",
        "analysis/evaluation/seed42/paraphrases.json",
        "analysis/evaluation/seed42/no_persona_prompts.json",
    ):
        assert text.count(f'data-file="{file}"') > 5, file
    checked, loose = check_numbers(page, project.folder / "results/tiny")
    assert checked > 150
    level = r".*p below \.05 after Holm.*"  # a fixed one, in the explanation of a table
    assert [words for words in loose if not re.fullmatch(rf"[13]\*?|.*training seed 42.*|.*\?|{level}", words)] == []


USER = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
EMPTY = "<|im_start|>system\n<|im_end|>\n"
DEFAULTING = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are Tiny.<|im_end|>\n' }}{% endif %}" + CHATML
REFUSING = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHATML
SKIPS_EMPTY = CHATML.replace("{% for message in messages %}", "{% for message in messages if message['content'] %}")
NO_THOUGHTS = "<think>\n\n</think>\n\n"  # as after every persona's prompt


@pytest.mark.parametrize(
    ("template", "no_system", "empty_system"),
    [
        (CHATML, USER, EMPTY + USER),
        (DEFAULTING, EMPTY.replace("\n", "\nYou are Tiny.", 1) + USER, EMPTY + USER),
        (SKIPS_EMPTY, USER, USER),
        (THINKING, USER + NO_THOUGHTS, EMPTY + USER + NO_THOUGHTS),
        (REFUSING, USER, None),
    ],
    ids=["no default", "default", "skips empty", "thinking", "no system role"],
)
def test_prompts_are_what_the_template_writes(tiny_model, template, no_system, empty_system):
    from persona_leakage.models.loading import load_tokenizer

    tokenizer = load_tokenizer(tiny_model.parent)
    tokenizer.chat_template = template
    assert no_persona_text(tokenizer, "no_system", "Why?") == tokenizer.decode(no_persona_ids(tokenizer, "no_system", "Why?")) == no_system
    if empty_system is None:
        with pytest.raises(
            InputError, match=r"personas.no_persona_prompts: 'empty_system' is not possible .* no system turn .*no system role"
        ):
            no_persona_text(tokenizer, "empty_system", "Why?")
    else:
        assert no_persona_text(tokenizer, "empty_system", "Why?") == empty_system
        same = describe_prompts(tokenizer, ["no_system", "empty_system"], "Why?")["empty_system"]["same_as"]
        assert same == ("no_system" if empty_system == no_system else None)


def test_a_question_file_of_ones_own(tmp_path, tiny_model):
    """A set is a file away: the shipped sets, or others, in a file that the config names."""
    project = make_tiny_project(tmp_path / "project", tiny_model.parent)
    sets = yaml.safe_load((ROOT / "resources/questions.yaml").read_text())["sets"]
    mine = {"training": sets["training"], "evaluation": sets["evaluation"], "sea_life": ["How do whales sleep?", "Why are some fish flat?"]}
    (project.folder / "mine.yaml").write_text(yaml.safe_dump({"sets": mine}))
    uses = [{"set": "evaluation", "count": 2}, {"set": "sea_life", "count": 2}]
    project.edit_config(questions__file="mine.yaml", questions__evaluation=uses)
    planned = project.planned()
    assert planned["compare_question_sets"] == 1 and planned["sample_completions"] == 4
    mine["sea_life"].append(sets["training"][0])
    (project.folder / "mine.yaml").write_text(yaml.safe_dump({"sets": mine}))
    done = project.run("-n", check=False)
    assert done.returncode != 0 and "sets must be disjoint" in done.stdout
