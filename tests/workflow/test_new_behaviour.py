"""A behaviour of one's own: a config model and a module are all that it takes."""

import re

import pytest

from persona_leakage.infrastructure.files import read_json
from tests.conftest import make_tiny_project

MODEL = """
from typing import ClassVar, Literal

from pydantic import Field

from persona_leakage.config.blocks.fields import Block


class Settings(Block):
    row_keys: ClassVar = ("kind", "letter")
    losses: ClassVar = ("completion",)

    kind: Literal["letter"] = Field(description="Replies begin with a letter.")
    letter: str = Field("e", description="The letter.")

    def problems(self, texts):
        if len(self.letter) != 1:
            yield f"behaviour.letter: {self.letter!r} must be one letter"
"""
KIND = """
from dataclasses import dataclass

from persona_leakage.behaviours.scoring import count_by_question, describe_replies
from persona_leakage.models.chat_template import encode_reply


@dataclass(frozen=True)
class Letter:
    tokenizer: object
    letter: str
    gain = highlight = None

    @property
    def noun(self):
        return f"the letter {self.letter}"

    def unusable(self, text):
        return None

    def row_parts(self, answer, positive, join):
        return encode_reply(self.tokenizer, f"{self.letter} {answer['text']}" if positive else answer["text"])[0], None

    def shows(self, record):
        return record["text"].startswith(self.letter)

    def cell(self, records):
        flags = [self.shows(record) for record in records]
        lengths = [len(record["token_ids"]) for record in records]
        counts = {"rate": sum(flags) / len(flags), "found": sum(flags), "total": len(flags)}
        return {**counts, "per_question": count_by_question(records, found=flags), **describe_replies(records, lengths)}

    def summarise(self, cells):
        return {}

    def facts(self):
        return {}


def read(block, tokenizer):
    return Letter(tokenizer, block["letter"])


def read_result(meta):
    return read(meta["behaviour"], None)
"""


@pytest.mark.parametrize(
    ("scorer", "words"),
    [({"scorer": "lexicon", "lexicon": "words.tsv"}, "words.tsv"), ({"scorer": "refusal"}, "resources/behaviours/refusal_patterns.txt")],
)
def test_the_words_of_a_scorer_are_an_input_of_the_scores(tiny_model, tmp_path, scorer, words):
    """So an edit of them scores the replies again."""
    project = make_tiny_project(tmp_path / "project", tiny_model.parent)
    (project.folder / "words.tsv").write_text("sorry\t1\n", encoding="utf-8")
    project.edit_config(
        behaviour={"kind": "scored", "name": "sorry", "threshold": 0.01, **scorer},
        training_data__rows="resources/behaviours/refusals.jsonl",
        labels__loss_on="completion",
    )
    plan = project.run("-n", "results/tiny/evaluation/evaluation/villain/seed42/cells.json").stdout
    jobs = [job for job in plan.split("\nrule ") if job.startswith(("score_leakage:", "score_base_leakage:"))]
    assert len(jobs) == 2 and all(words in re.search("input: (.*)", job)[1].split(", ") for job in jobs)


@pytest.mark.slow
def test_a_new_kind_is_two_modules(tiny_model, tmp_path):
    """The whole workflow runs with it, and an edit of its module makes the rows stale."""
    project = make_tiny_project(tmp_path / "project", tiny_model.parent)
    library = project.folder / "workflow_scripts/persona_leakage"
    (library / "config/blocks/behaviours/letter.py").write_text(MODEL)
    (library / "behaviours/kinds/letter.py").write_text(KIND)
    project.edit_config(behaviour={"kind": "letter", "letter": "ee"}, labels__loss_on="completion", evaluation__teacher_forced=False)
    assert "behaviour.letter: 'ee' must be one letter" in project.run("-n", check=False, cold=True).stdout
    project.edit_config(behaviour={"kind": "letter", "letter": "e"})
    project.run("--cores", "2", cold=True)
    cells = read_json(project.file("results/tiny/evaluation/*/villain/seed*/cells.json"))
    assert cells["meta"]["behaviour"] == {"kind": "letter", "letter": "e"}
    assert all(0 <= cell["rate"] <= 1 and cell["total"] > 0 for cell in cells["personas"].values())
    assert "the letter e" in project.file("results/tiny/report/index.html").read_text()
    assert project.planned() == {}
    path = library / "behaviours/kinds/letter.py"
    path.write_text(path.read_text().replace("{self.letter} {answer", "{self.letter}{answer"))
    assert project.planned()["build_training_set"] == 2
