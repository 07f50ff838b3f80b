"""The report's section on the judge: what a reply says stays text."""

from persona_leakage.infrastructure.files import read_json
from persona_leakage.reporting.html_page import page_template
from persona_leakage.reporting.judge_section import beyond_threshold, shown
from tests.conftest import ROOT
from tests.reporting.test_report import HOSTILE


class Numbers:
    """In place of the report's numbers, which are not under test."""

    def show(self, *place):
        return "1"


def test_hostile_replies_stay_text():
    """No tag, control character or slot of a reply reaches the page as such."""
    scored = {"scores": {"careless": {"state": "scored", "value": 0.123}}}
    replies = [shown("base", {"persona": "p", "question": "Why?", "text": text, "judgement": scored}) for text in HOSTILE]
    judge = {"gold": None, "paid": [], "likelihood": False, "second": False, "states": [], "questions": [], "replies": replies}
    page = page_template("judge.html.j2").render(judge=judge, numbers=Numbers(), fig=lambda name: "")
    assert page.count('<div class="reply"') == len(HOSTILE) and "careless 0.12" in page
    assert "<script" not in page and "<img" not in page and "{{ 7" in page
    assert not {character for character in page if ord(character) < 32 and character != "\n"}


def test_labelled_replies_are_counted_at_the_threshold_in_the_direction_of_the_behaviour():
    """The AUC of the kept careless advice is 0.77, but at the threshold most careful replies count as careless."""
    gold = read_json(ROOT / "docs/results/qwen_coder_careless/judge/gate.json")["gold"]
    block = {"score": "careless", "threshold": 0, "direction": "high", "require": {}}
    assert beyond_threshold(gold, block) == {"with": (19, 20), "without": (12, 20)}
    assert beyond_threshold(gold, {**block, "direction": "low"}) == {"with": (1, 20), "without": (8, 20)}
    gold["answers"][0]["score"] = None
    assert beyond_threshold(gold, block)["with"] == (18, 19) and beyond_threshold(None, block) is None
