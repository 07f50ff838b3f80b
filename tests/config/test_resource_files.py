"""A wrong personas or questions file must be refused, in words that name the file, the entry and the fault."""

import pytest
import yaml

from persona_leakage.config.personas import read_personas, read_question_sets
from persona_leakage.infrastructure.cli import InputError


def persona(name, **changes):
    return {"name": name, "category": "original", "related_to": [], "prompt": f"You are the {name} of the town.", **changes}


OTHERS = [persona("baker"), persona("miller"), persona("smith")]


def personas_text(*entries):
    return yaml.safe_dump({"personas": [*OTHERS, *entries]})


def questions_text(**sets):
    return yaml.safe_dump({"sets": sets}, sort_keys=False)


BAD_PERSONAS = {
    "empty file": ("", ["None", "object"]),
    "not YAML": ("personas: [\n  - name: {", ["not valid YAML"]),
    "not text": (b"\xff\xfe\x80personas: []", ["bad.yaml"]),
    "other top key": ("people: []\n", ["unknown key 'people'", "personas"]),
    "key twice": ("personas:\n  - name: baker\n    name: miller\n", ["key 'name' appears twice", "line 3"]),
    "too few": (yaml.safe_dump({"personas": OTHERS}), ["personas", "at least 4", "has 3"]),
    "name twice": (personas_text(persona("baker", prompt="You bake all night.")), ["'baker' appears twice"]),
    "prompt twice": (personas_text(persona("cook", prompt=OTHERS[0]["prompt"])), ["'baker' and 'cook'", "same prompt"]),
    "unknown relative": (personas_text(persona("cook", related_to=["chef"])), ["'cook'", "related_to 'chef'"]),
    "relative of itself": (personas_text(persona("cook", related_to=["cook"])), ["'cook'", "related_to 'cook'"]),
    "relatives as text": (personas_text(persona("cook", related_to="baker")), ["personas.3.related_to", "'baker'", "array"]),
    "blank prompt": (personas_text(persona("cook", prompt=" " * 20)), ["personas.3.prompt"]),
    "prompt with a line end behind": (personas_text(persona("cook", prompt="You cook all day.\n")), ["personas.3.prompt"]),
    "name with a blank": (personas_text(persona("head cook")), ["personas.3.name", "'head cook'"]),
}

BAD_QUESTIONS = {
    "other case and punctuation in another set": (
        questions_text(training=["Why is the sky blue?"], evaluation=["why is the SKY, blue"]),
        ["'why is the SKY, blue'", "'evaluation'", "'training'", "disjoint"],
    ),
    "twice in a set": (questions_text(training=["Why is it so?", "Why is it so?"]), ["'Why is it so?'", "'training'"]),
    "empty set": (questions_text(training=["Why is it so?"], evaluation=[]), ["sets.evaluation", "at least 1"]),
    "question with a line end behind": (questions_text(training=["Why is it so?\n"]), ["sets.training.0"]),
    "set name with a blank": (questions_text(**{"my set": ["Why is it so?"]}), ["my set"]),
    "list without sets": ("- Why is it so\n", ["['Why is it so']", "object"]),
}


def refusal_of(read, tmp_path, content):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refusal:
        read(str(path))
    assert str(path) in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(("content", "fragments"), BAD_PERSONAS.values(), ids=BAD_PERSONAS)
def test_bad_personas_file_is_refused(tmp_path, content, fragments):
    message = refusal_of(read_personas, tmp_path, content)
    assert [fragment for fragment in fragments if fragment not in message] == [], message


@pytest.mark.parametrize(("content", "fragments"), BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
def test_bad_questions_file_is_refused(tmp_path, content, fragments):
    message = refusal_of(read_question_sets, tmp_path, content)
    assert [fragment for fragment in fragments if fragment not in message] == [], message


@pytest.mark.parametrize("read", [read_personas, read_question_sets])
def test_missing_file_is_refused(tmp_path, read):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="no such file") as refusal:
            read(str(path))
        assert str(path) in str(refusal.value)


def test_sound_files_are_read(tmp_path):
    """What the tables above start from is valid, and comes back in the file's order."""
    path = tmp_path / "good.yaml"
    path.write_text(personas_text(persona("cook", related_to=["baker", "smith"])))
    personas = read_personas(str(path))
    assert list(personas) == ["baker", "miller", "smith", "cook"]
    assert personas["cook"].related_to == ("baker", "smith")
    sets = {"training": ["Why is it so?"], "other": ["How is it so?", "Who is it?"]}
    (tmp_path / "questions.yaml").write_text(questions_text(**sets))
    assert read_question_sets(str(tmp_path / "questions.yaml")) == sets
