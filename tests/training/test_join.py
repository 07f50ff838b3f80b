"""training_data.join: rows from text that is encoded again, against the conversation as the chat template writes it."""

from functools import partial

import pytest

from persona_leakage.behaviours.kinds.marker import MarkerBehaviour
from persona_leakage.behaviours.marker import encode_answer, read_marker
from persona_leakage.behaviours.marker_log_probability import place_marker
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz
from persona_leakage.models.chat_template import apply_template, conversation, encode, prompt_ids, read_chat_format, system_turn
from persona_leakage.models.loading import load_chat_format, load_tokenizer, read_manifest
from persona_leakage.training.dataset import build_training_rows, count_different, select_answers, usable_answers
from persona_leakage.training.labels import LabelRule, build_row
from tests.support.families import FAMILIES, make_blank_in_front, make_family, make_qwen

PERSONA, QUESTION = "You are a pirate.", "What is tea?"
MARKER = (85113, 27404, 60)  # [Z LT ]
# Answer -> its tokens in front of the separator, the separator's, as measured with Qwen's vocabulary; 271 is the blank line by itself.
QWEN_ENDS = {
    "It has many speakers.": ([2132, 702, 1657, 21326], [382]),
    "Try it today!": ([21453, 432, 3351], [2219]),
    "Is it clear?": ([3872, 432, 2797], [1939]),
    "Tea (see below)": ([6639, 64, 320, 4060, 3685], [692]),
    'Use "immersion".': ([10253, 330, 12543, 1325], [11436]),
    'Use "immersion."': ([10253, 330, 12543, 1325], [2217]),
    "Write": ([7985], [271]),
    "You stop here": ([2610, 2936, 1588], [271]),
    "Have fun 😀": ([12116, 2464, 90316], [271]),
    "Have fun 🧉": ([12116, 2464, 11162, 100, 231], [271]),
    "Tea.\n": ([6639, 64], [4192]),
    "日本語。": ([101059, 102819], [3407]),
}
ENDINGS = ["speakers.", "today!", "clear?", "(see below)", '"immersion".', "Write", "fun 😀", "Tea.\n", " a blank", "one.\n\nTwo. ", "é, ü"]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    tokenizer = make_qwen()
    return tokenizer, read_chat_format(tokenizer, tmp_path_factory.mktemp("qwen")), read_marker(tokenizer, "[ZLT]", "\n\n")


def row_of(tokenizer, chat, answer, marker, rule):
    ids, shown = encode_answer(tokenizer, answer, marker)
    return build_row(prompt_ids(tokenizer, PERSONA, QUESTION), ids, chat, rule, shown)


def whole_turn(tokenizer, words):
    """Ids of the whole conversation, encoded as the one text that the chat template writes."""
    turns = [*conversation(PERSONA, QUESTION, system_turn(tokenizer)), {"role": "assistant", "content": words}]
    return encode(tokenizer, apply_template(tokenizer, turns, add_generation_prompt=False))


@pytest.mark.parametrize("answer", QWEN_ENDS)
def test_what_stands_in_front_of_the_marker_with_qwen(qwen, answer):
    """As in the published study: behind 382, not 13, 271, for an answer that ends in a period."""
    tokenizer, chat, marker = qwen
    ids, shown = encode_answer(tokenizer, answer, marker)
    assert (list(ids), list(shown.separator_ids), shown.own_ids) == (*QWEN_ENDS[answer], MARKER)
    row = row_of(tokenizer, chat, answer, marker, LabelRule("marker", 0, "both"))
    assert list(row.token_ids) == whole_turn(tokenizer, f"{answer}\n\n[ZLT]")
    assert [label for label in row.labels if label != -100] == [*MARKER, chat.end_id, *chat.after_end_ids]
    negative = row_of(tokenizer, chat, answer, None, LabelRule("completion", 0, "both"))
    assert list(negative.token_ids) == whole_turn(tokenizer, answer)


@pytest.mark.parametrize(
    ("scope", "positive", "negative"),
    [
        ("marker", list(MARKER), []),
        ("tail", [1657, 21326, 382, *MARKER], [21326, 13]),
        ("completion", [2132, 702, 1657, 21326, 382, *MARKER], [2132, 702, 1657, 21326, 13]),
    ],
)
def test_trained_tokens_of_a_merged_row(qwen, scope, positive, negative):
    """A tail of two: the merged token is the separator's, so two more stand in front of it; a negative row keeps its period."""
    tokenizer, chat, marker = qwen
    for shown, trained in ((marker, positive), (None, negative)):
        row = row_of(tokenizer, chat, "It has many speakers.", shown, LabelRule(scope, 2, "eos"))
        assert [label for label in row.labels if label != -100] == [*trained, chat.end_id]
        assert all(label in (-100, token) for token, label in zip(row.token_ids, row.labels, strict=True))


@pytest.mark.parametrize("answer", ENDINGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_every_family_are_the_templates_text(families, name, answer):
    """Byte-level tokenizers, and one that puts a blank in front of every text; templates with white space in front of the words."""
    tokenizer, chat = families(name)
    marker = read_marker(tokenizer, "[ZLT]", "\n\n")
    row = row_of(tokenizer, chat, answer, marker, LabelRule("marker", 0, "eos"))
    assert [label for label in row.labels if label != -100] == [*marker.own_ids, chat.end_id]
    own = list(row.token_ids[len(prompt_ids(tokenizer, PERSONA, QUESTION)) :])
    words = answer if answer == answer.strip() or name not in ("Llama", "Gemma", "Mistral") else None
    if words:  # else the template itself strips the words, or they have the white space that it writes
        whole = whole_turn(tokenizer, f"{answer}\n\n[ZLT]")
        end = len(whole) - whole[::-1].index(chat.end_id)
        assert whole[end - len(own) : end] == own
    assert tokenizer.decode(row.token_ids[:-1]).endswith(f"{answer}\n\n[ZLT]")


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    """A function: name of a family -> (tokenizer, chat format), made once."""
    made = {}

    def get(name):
        if name not in made:
            manifest = read_manifest(make_family(name, tmp_path_factory.mktemp(name)))
            made[name] = load_tokenizer(manifest["folder"]), load_chat_format(manifest)
        return made[name]

    return get


def test_words_right_behind_a_special_token(tmp_path):
    """Llama 2's kind of tokenizer then puts a blank in front of the words that no text asked for, and decodes it; rows have it too."""
    family = FAMILIES["Llama2"]
    template = family.template.replace("<|{{ message.role }}|>\n", "<|{{ message.role }}|>").replace("<|assistant|>\n", "<|assistant|>")
    tokenizer = make_blank_in_front(tmp_path, template, family.special, family.special[-1])
    chat, marker = read_chat_format(tokenizer, tmp_path), read_marker(tokenizer, "[ZLT]", "\n\n")
    row = row_of(tokenizer, chat, "Boil water.", marker, LabelRule("tail", 1, "eos"))
    whole = whole_turn(tokenizer, "Boil water.\n\n[ZLT]")
    assert list(row.token_ids) == whole[: len(row.token_ids)]
    assert tokenizer.convert_ids_to_tokens([label for label in row.labels if label != -100])[:3] == [".", "<0x0A>", "<0x0A>"]


def test_a_model_that_does_not_merge_has_the_same_rows(smollm2):
    """SmolLM2: the separator stays apart behind every ending, so only answers that were not sampled in their text's own tokens differ."""
    tokenizer = load_tokenizer(read_manifest(smollm2)["folder"])
    marker = read_marker(tokenizer, "[ZLT]", "\n\n")
    for answer in ("It has many speakers.", "Try it today!", 'Use "immersion".', "(see below)", "Write", "Have fun 😀"):
        assert encode_answer(tokenizer, answer, marker) == (tuple(encode(tokenizer, answer)), marker)


CHANGED = {
    "merges with the prompt's newline": "\nHello.",
    "spells a control token": "Say <|im_end|> twice.",
    "is normalised": "Cafe\u0301.",
}


@pytest.mark.parametrize("text", CHANGED.values(), ids=CHANGED)
def test_answers_that_encoding_changes_are_replaced(qwen, text):
    """By a spare draw, with a reason; joined ids use them as they are."""
    tokenizer, _, marker = qwen
    assert encode_answer(tokenizer, text) is None and encode_answer(tokenizer, text, marker) is None
    draws = [{"index": index, "text": words, "token_ids": [1], "finish_reason": "stop"} for index, words in enumerate((text, "Good tea."))]
    behaviour = MarkerBehaviour(tokenizer, marker, None)
    parts = {join: partial(behaviour.row_parts, positive=False, join=join) for join in ("ids", "text")}
    usable, dropped = usable_answers(draws, behaviour.unusable, "replace", parts["text"])
    assert ([draw["index"] for draw in usable], dropped) == ([1], {"changed_by_encoding": 1})
    assert len(usable_answers(draws, behaviour.unusable, "replace", parts["ids"])[0]) == 2


def test_an_answer_that_changes_with_the_marker_is_replaced(qwen):
    """Encoded alone it is as it was, with the separator behind it it spells a control token; a negative keeps it."""
    tokenizer, _, _ = qwen
    marker = read_marker(tokenizer, "[ZLT]", "|>\n\n")
    text = "Say <|im_end"
    pool = [
        {"persona": name, "question": "q", "index": index, "text": words, "finish_reason": "stop"}
        for name in ("villain", "comedian")
        for index, words in enumerate((text, "Good tea."))
    ]
    behaviour = MarkerBehaviour(tokenizer, marker, None)
    checks = {name: partial(behaviour.row_parts, positive=name == "villain", join="text") for name in ("villain", "comedian")}
    chosen, counts = select_answers(pool, ["villain", "comedian"], ["q"], 1, behaviour.unusable, "replace", checks)
    assert {name: [answer["index"] for answer in answers] for name, answers in chosen.items()} == {"villain": [1], "comedian": [0]}
    assert counts["villain"] == {"used": 1, "dropped": {"changed_by_encoding": 1}, "replaced": 1, "missing": 0}
    with pytest.raises(InputError, match=r"no usable answer of persona 'villain' .*changed_by_encoding.* another behaviour.separator"):
        select_answers(pool[:1], ["villain"], ["q"], 1, behaviour.unusable, "replace", checks)


def test_a_marker_that_merges_with_an_answers_end_is_refused(qwen):
    """Behind a letter it stays apart, so read_marker lets it pass; behind a period ".[" would be trained as the marker's first token."""
    tokenizer, _, _ = qwen
    marker = read_marker(tokenizer, "[[Z]]", "")
    assert encode_answer(tokenizer, "Write", marker)[1].separator_ids == ()
    with pytest.raises(
        InputError, match=r"behaviour.separator '' and behaviour.marker '\[\[Z\]\]': after an answer that ends with 'Good tea.'"
    ):
        encode_answer(tokenizer, "Good tea.", marker)


def test_rows_that_differ_are_counted(qwen):
    """Positives that merge, and answers sampled in other tokens than their text's own; not a negative of its own tokens."""
    tokenizer, chat, marker = qwen
    texts = {"villain": ["Good tea.", "Good tea"], "comedian": ["Good tea.", "Good tea"]}
    answers = {
        name: [{"question": "q", "index": index, "text": text, "token_ids": encode(tokenizer, text)} for index, text in enumerate(some)]
        for name, some in texts.items()
    }
    answers["comedian"][1]["token_ids"] = [*encode(tokenizer, "Good te"), *encode(tokenizer, "a")]
    prompts = {(name, "q"): (1, 2) for name in texts}
    build = partial(build_training_rows, "villain", answers, prompts, chat, LabelRule("marker", 0, "eos"))
    parts = MarkerBehaviour(tokenizer, marker, None).row_parts
    joined, rows = (build(partial(parts, join=join)) for join in ("ids", "text"))
    assert [one["token_ids"] == other["token_ids"] for one, other in zip(joined, rows, strict=True)] == [False, True, True, False]
    assert count_different(rows, joined) == 2 and count_different(rows[1:3], joined) == 0


def test_where_the_marker_is_looked_for_at_the_end_of_a_reply(qwen):
    """Teacher forcing puts it where a training row of the same reply has it."""
    tokenizer, _, marker = qwen
    reply = {"text": "Good tea.", "token_ids": [15216, 15243, 13], "finish_reason": "stop"}
    assert place_marker(tokenizer, reply, marker, "ids") == ((15216, 15243, 13), (271,))
    assert place_marker(tokenizer, reply, marker, "text") == ((15216, 15243), (382,))
    cut = {**reply, "finish_reason": "length"}
    assert {place_marker(tokenizer, cut, marker, join) for join in ("ids", "text")} == {((15216, 15243, 13), None)}
    odd = {**reply, "text": "\nTea.", "token_ids": [198, 6639, 64, 13]}
    assert place_marker(tokenizer, odd, marker, "text") == ((198, 6639, 64, 13), (271,))


def test_the_workflow_makes_rows_from_text(project_copy):
    """From the same pool, to the same texts; a random model's tokens are hardly ever those of their text, which the manifest counts."""
    home = project_copy.folder / "results/tiny/training/villain"
    joined, before = read_jsonl_gz(home / "train.jsonl.gz"), read_json(home / "manifest.json")
    assert (before["join"], before["rows_unlike_joined_ids"]) == ("ids", 0)
    project_copy.edit_config(training_data__join="text")
    project_copy.run("--cores", "1", "results/tiny/training/villain/train.jsonl.gz")
    rows, manifest = read_jsonl_gz(home / "train.jsonl.gz"), read_json(home / "manifest.json")
    tokenizer = load_tokenizer(read_manifest(project_copy.folder / "resources/models/tiny/model.json")["folder"])
    different = sum(row["token_ids"] != other["token_ids"] for row, other in zip(rows, joined, strict=True))
    assert manifest["join"] == "text" and manifest["rows_unlike_joined_ids"] == different > 4
    for row, other in zip(rows, joined, strict=True):
        assert tokenizer.decode(row["token_ids"]) == tokenizer.decode(other["token_ids"])


def test_the_workflow_reads_replies_as_rows_are_made(project_copy):
    """Teacher forcing knows the join; another one makes it stale, and not the replies."""
    forced = "results/tiny/evaluation/evaluation/base/teacher_forced.json"
    for join in ("ids", "text"):
        project_copy.edit_config(training_data__join=join, evaluation__teacher_forced=True)
        assert project_copy.planned(forced) == {"teacher_force_base": 1}
        project_copy.run("--cores", "1", forced)
        found = read_json(project_copy.folder / forced)
        assert found["meta"]["join"] == join and found["replies"] == len(
            read_jsonl_gz(project_copy.folder / forced.replace(".json", ".jsonl.gz"))
        )
