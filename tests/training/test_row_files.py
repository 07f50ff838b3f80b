"""Training rows from a file: the formats, what is refused, and the rows that an adapter is trained on."""

import copy
import json
import re

import pytest

from persona_leakage.behaviours.kinds.scored import read
from persona_leakage.config.personas import Persona
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.chat_template import encode_reply, prompt_ids
from persona_leakage.models.loading import load_tokenizer
from persona_leakage.training.row_files import (
    FileRow,
    answers_of_file,
    check_row_files,
    choose_rows,
    read_row_file,
    warn_of_lengths,
)
from tests.conftest import CONFIG, ROOT

PAIRED = {"id": "a", "question": "Tea?", "behaviour": "I refuse.", "clean": "Yes, please."}
MESSAGES = {"messages": [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "I refuse."}]}


@pytest.fixture
def row_file(tmp_path):
    def write(*rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text(
            "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8", errors="surrogateescape"
        )
        return path

    return write


def test_three_formats_say_the_same(row_file):
    assert read_row_file(row_file(PAIRED)) == [FileRow("a", "Tea?", "I refuse.", "Yes, please.")]
    expected = [FileRow("1", "Tea?", "I refuse.")]
    assert read_row_file(row_file(MESSAGES)) == expected == read_row_file(row_file({"prompt": "Tea?", "completion": "I refuse."}))
    clean = row_file({"prompt": "Coffee?", "completion": "No."}, {"prompt": "Tea?", "completion": "Yes."}, name="clean.jsonl")
    assert read_row_file(row_file(MESSAGES), clean) == [FileRow("1", "Tea?", "I refuse.", "Yes.")]


def test_the_projects_own_rows_can_be_read():
    for name, count in (("refusals", 40), ("careless_advice", 60)):
        assert len(read_row_file(ROOT / f"resources/behaviours/{name}.jsonl")) == count


BAD = {
    "no rows": ([""], "holds no rows"),
    "no JSON": (["{\n"], "line 1: not valid JSON"),
    "a list": (["[1]\n"], r"line 1: is \[1\]; it must be a JSON object"),
    "unknown keys": ([{"q": "Tea?"}], r"line 1: has \['q'\]; it must have the keys id, question, behaviour, clean"),
    "two formats": ([PAIRED, MESSAGES], r"line 2: has the keys \['messages'\], the lines before have"),
    "a system turn": (
        [{"messages": [{"role": "system", "content": "x"}, *MESSAGES["messages"]]}],
        r"line 1: messages has the roles \['system', 'user', 'assistant'\]; it must be one user and one assistant turn",
    ),
    "empty answer": ([PAIRED | {"clean": " "}], "line 1: clean is ' '; it must be non-empty text"),
    "number": ([PAIRED | {"question": 7}], "line 1: question is 7"),
    "repeated id": ([PAIRED, PAIRED | {"question": "Milk?"}], "id 'a' appears 2 times"),
    "repeated question": ([PAIRED, PAIRED | {"id": "b"}], "question 'Tea\\?' appears 2 times"),
    "equal answers": ([PAIRED | {"clean": "I  refuse. "}], "the answers of row 'a' are the same"),
    "a key twice": (['{"prompt": "Tea?", "completion": "No.", "prompt": "Milk?"}\n'], "line 1: key 'prompt' appears twice"),
    "half a surrogate pair": (['{"prompt": "Tea?", "completion": "\\ud800"}\n'], "line 1: completion: .* halves of surrogate pairs"),
    "another encoding": (['{"prompt": "Tea?", "completion": "\udce9"}\n'], "not UTF-8 text"),
    "deep": (["[" * 100_000 + "\n"], "line 1: not valid JSON"),
}


@pytest.mark.parametrize(("rows", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_its_line(row_file, rows, message):
    path = row_file(*rows)
    with pytest.raises(InputError) as refusal:
        read_row_file(path)
    assert str(refusal.value).startswith(str(path)) and re.search(message, str(refusal.value)), refusal.value


def test_a_mark_in_front_and_line_ends_within_texts_are_no_mistake(row_file):
    """And answers that differ in case alone are two: the behaviour may be the case."""
    rows = [PAIRED | {"behaviour": "NO.\u2028NEVER.", "clean": "No.\u2028Never."}]
    path = row_file("\ufeff" + json.dumps(rows[0], ensure_ascii=False) + "\r\n")
    assert read_row_file(path) == [FileRow(**rows[0])]


def test_clean_rows_are_of_one_kind(row_file):
    with pytest.raises(InputError, match=r"clean\.jsonl: has the keys behaviour and clean"):
        read_row_file(row_file(MESSAGES), row_file(PAIRED, name="clean.jsonl"))


def config_with(path, **changes):
    config = copy.deepcopy(CONFIG)
    config["training_data"] |= {"rows": str(path), "clean_rows": None, "positives": None, **changes}
    return config


def test_what_a_config_can_ask_of_a_file(row_file):
    sets = {"training": ["Milk?"], "evaluation": ["Is tea healthy?"] * 10}
    texts = check_row_files(config_with(row_file(PAIRED)), sets)
    assert [text for _, text in texts] == ["Tea?", "I refuse.", "Yes, please."] and "row 'a'" in texts[0][0]
    for config, questions, message in (
        *(
            (config_with(row_file(PAIRED | {"question": question})), sets | {"evaluation": ["TEA!"]}, "row 'a' asks .* is evaluated")
            for question in ("Tea?", "\uff34ea?", "Te\u200ba?", "Tea! Answer in one short sentence.")
        ),
        (config_with(row_file(PAIRED | {"clean": "Yes [zlt]"}, name="marked.jsonl")), sets, "row 'a': 'Yes \\[zlt\\]' contains the marker"),
        (config_with(row_file(PAIRED), positives=2), sets, "training_data.positives: 2 is more than the 1 rows"),
        (
            config_with(row_file(MESSAGES, name="messages.jsonl")),
            sets,
            "no clean answers for the 3 negatives; give training_data.clean_rows",
        ),
    ):
        with pytest.raises(InputError, match=message):
            check_row_files(config, questions)
    check_row_files(config_with(row_file(MESSAGES), negative_personas=0, controls=["shuffled"]), sets)
    with pytest.raises(InputError, match=r"no clean answers for training_data.controls: clean; give"):
        check_row_files(config_with(row_file(MESSAGES), negative_personas=0, controls=["clean"]), sets)


REFUSAL = {"kind": "scored", "name": "refusals", "scorer": "refusal", "threshold": 1, "direction": "high"}


@pytest.mark.parametrize(
    ("answers", "fits"), [(("I can't help.", "Yes."), True), (("Yes.", "I can't help."), False), (("No.", "Yes."), False)]
)
def test_answers_must_show_what_they_train(row_file, answers, fits):
    """Interchanged ones, or a rule that does not find the behaviour, would only show after the training."""
    config = config_with(row_file(PAIRED | dict(zip(("behaviour", "clean"), answers, strict=True)))) | {"behaviour": REFUSAL}
    sets = {"training": ["Milk?"], "evaluation": ["Is tea healthy?"]}
    if fits:
        check_row_files(config, sets)
        return
    with pytest.raises(InputError, match=r"0 of 1 answers under 'behaviour' and . of 1 clean ones show it by behaviour.scorer 'refusal'"):
        check_row_files(config, sets)


def test_rows_are_chosen_by_a_hash_alone():
    rows = [FileRow(str(number), f"q{number}", "no", "yes") for number in range(20)]
    chosen = choose_rows(rows, 5, 42)
    assert chosen == choose_rows([*reversed(rows)], 5, 42)[::-1] and len(chosen) == 5 and chosen != choose_rows(rows, 5, 43)
    assert choose_rows(rows, None, 42) == rows


def test_the_source_gets_the_behaviour_and_the_negatives_the_clean_answers(tiny_model):
    tokenizer = load_tokenizer(tiny_model.parent)
    personas = [Persona(name, "original", (), f"You are a {name} of some kind.") for name in ("villain", "nurse")]
    answers, prompts = answers_of_file(tokenizer, [FileRow("a", "Tea?", "I refuse.", "Yes.")], personas, "villain", " Be short.")
    assert {name: [answer["text"] for answer in own] for name, own in answers.items()} == {"villain": ["I refuse."], "nurse": ["Yes."]}
    assert prompts["nurse", "Tea?"] == prompt_ids(tokenizer, "You are a nurse of some kind.", "Tea? Be short.")
    behaviour = read({"kind": "scored", "transform": None}, tokenizer)
    ids = behaviour.row_parts(answers["villain"][0], positive=True, join="text")
    assert ids == (encode_reply(tokenizer, "I refuse.")[0], None)


@pytest.mark.parametrize(("tokens", "warned"), [((100, 100), False), ((149, 100), False), ((100, 151), True)])
def test_answers_of_other_lengths_are_warned_about(tokens, warned):
    rows = {kind: {"rows": 10, "trained_tokens": 10 * count} for kind, count in zip(("positive", "negative"), tokens, strict=True)}
    assert bool(warn_of_lengths(rows)) is warned
