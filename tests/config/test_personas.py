"""The shipped personas and questions, and the digests that decide whom an edit of them makes stale."""

from collections import Counter
from dataclasses import replace

import pytest
import yaml

from persona_leakage.config.personas import Persona, read_personas, read_question_sets
from persona_leakage.config.selections import chosen_personas, chosen_questions, describe_personas, describe_questions
from persona_leakage.infrastructure.cli import InputError
from tests.conftest import CONFIG, ROOT

PERSONAS = read_personas(str(ROOT / "resources/personas.yaml"))
QUESTION_SETS = read_question_sets(str(ROOT / "resources/questions.yaml"))

CATEGORY_SIZES = {
    "original": 11,
    "professional_peer": 15,
    "modified_source": 15,
    "opposite": 10,
    "hierarchical": 10,
    "intersectional": 10,
    "cultural_variant": 10,
    "fictional_exemplar": 10,
    "tone_variant": 5,
    "domain_adjacent": 10,
    "unrelated_baseline": 5,
}


def test_shipped_panel_is_the_studys():
    """111 personas; their categories are what the per-category correlations are about."""
    assert len(PERSONAS) == 111
    assert Counter(persona.category for persona in PERSONAS.values()) == CATEGORY_SIZES


def test_assistant_is_the_explicit_system_text():
    """Not a chat template's own default, which differs between models."""
    assert PERSONAS["assistant"].prompt == "You are a helpful assistant."
    assert PERSONAS["assistant"].category == "original"


def test_the_five_sources_are_original():
    for name in ("villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher"):
        assert PERSONAS[name].category == "original"
        assert any(name in persona.related_to for persona in PERSONAS.values()), f"{name} has no relatives"


def test_prompts_do_not_share_an_opening():
    """A common beginning would raise the cosine of whole groups, whatever the personas mean."""
    openings = Counter(" ".join(persona.prompt.lower().split()[:2]) for persona in PERSONAS.values())
    opening, count = openings.most_common(1)[0]
    assert count <= len(PERSONAS) / 4, f"{count} prompts begin with {opening!r}"


def test_shipped_questions():
    """40 to train on, 20 to measure on, one of which is published, and three sets of 20 of another kind."""
    sizes = {"training": 40, "evaluation": 20, "ood_code": 20, "ood_creative": 20, "ood_math": 20}
    assert {name: len(questions) for name, questions in QUESTION_SETS.items()} == sizes
    assert "What is the best way to learn a new language?" in QUESTION_SETS["evaluation"]


def test_default_panel_covers_every_category():
    panel = CONFIG["personas"]["panel"]
    assert len(panel) >= 30
    assert {PERSONAS[name].category for name in panel} == set(CATEGORY_SIZES)


TOWN = {name: Persona(name, "original", (), f"You are the {name} of the town.") for name in ("baker", "miller", "smith", "tailor")}
SELECTIONS = {
    "prompts of two": (["baker", "miller"], ["prompt"]),
    "prompts of the others": (["smith", "tailor"], ["prompt"]),
    "prompts of three": (["smith", "miller", "baker"], ["prompt"]),
    "categories of two": (["baker", "miller"], ["category", "related_to"]),
    "everything of two": (["baker", "miller"], ["category", "related_to", "prompt"]),
    "prompts of all": ("all", ["prompt"]),
}
EDITS = {
    "another persona": ({"cook": Persona("cook", "original", (), "You cook.")}, {"prompts of all"}),
    "a prompt": (
        {"baker": replace(TOWN["baker"], prompt="You bake all night.")},
        {"prompts of two", "prompts of three", "everything of two", "prompts of all"},
    ),
    "a prompt of the other half": ({"tailor": replace(TOWN["tailor"], prompt="You sew.")}, {"prompts of the others", "prompts of all"}),
    "a category": ({"miller": replace(TOWN["miller"], category="opposite")}, {"categories of two", "everything of two"}),
    "relatives": ({"miller": replace(TOWN["miller"], related_to=("baker",))}, {"categories of two", "everything of two"}),
    "two prompts swapped": (
        {"baker": replace(TOWN["baker"], prompt=TOWN["miller"].prompt), "miller": replace(TOWN["miller"], prompt=TOWN["baker"].prompt)},
        {"prompts of two", "prompts of three", "everything of two", "prompts of all"},
    ),
}


@pytest.mark.parametrize(("edit", "stale"), EDITS.values(), ids=EDITS)
def test_an_edit_changes_exactly_its_users_digests(edit, stale):
    """The digest is a job's parameter: more changes would sample for nothing, fewer would keep wrong results."""
    changed = {**TOWN, **edit}
    found = {
        name
        for name, (names, fields) in SELECTIONS.items()
        if describe_personas(TOWN, names, *fields) != describe_personas(changed, names, *fields)
    }
    assert found == stale


def test_the_order_in_the_file_does_not_matter():
    backwards = dict(reversed(TOWN.items()))
    for names, fields in SELECTIONS.values():
        if names != "all":
            assert describe_personas(TOWN, names, *fields) == describe_personas(backwards, names, *fields)


SETS = {"training": ["Why is it so?", "How is it so?", "Who is it?"], "other": ["When is it?"]}
QUESTION_EDITS = {
    "first question": ({"training": ["Why so?", *SETS["training"][1:]]}, True),
    "last question that is used": ({"training": [SETS["training"][0], "How so?", SETS["training"][2]]}, True),
    "order": ({"training": [SETS["training"][1], SETS["training"][0], SETS["training"][2]]}, True),
    "question behind the count": ({"training": [*SETS["training"][:2], "Who so?"]}, False),
    "another question": ({"training": [*SETS["training"], "Where is it?"]}, False),
    "another set": ({"other": ["Where is it?"]}, False),
}


@pytest.mark.parametrize(("edit", "changes"), QUESTION_EDITS.values(), ids=QUESTION_EDITS)
def test_questions_digest_covers_what_is_used(edit, changes):
    """Only the first ``count`` questions of the set are a stage's input."""
    use = {"set": "training", "count": 2}
    before, after = describe_questions(SETS, use), describe_questions({**SETS, **edit}, use)
    assert (before != after) is changes
    assert {key: before[key] for key in use} == use


def write(path, content):
    path.write_text(yaml.safe_dump(content))
    return str(path)


def personas_content(*entries):
    return {
        "personas": [
            {key: value for key, value in {**vars(persona), "related_to": list(persona.related_to)}.items() if value is not None}
            for persona in entries
        ]
    }


def test_chosen_personas_are_read_back(tmp_path):
    path = write(tmp_path / "personas.yaml", personas_content(*TOWN.values()))
    selection = describe_personas(TOWN, ["smith", "baker"], "prompt")
    assert chosen_personas(path, selection) == [TOWN["smith"], TOWN["baker"]]


PERSONA_FILES = {
    "prompt edited": [replace(TOWN["baker"], prompt="You bake all night."), *list(TOWN.values())[1:]],
    "persona removed": [*list(TOWN.values())[1:], Persona("cook", "original", (), "You cook all day.")],
}


@pytest.mark.parametrize("entries", PERSONA_FILES.values(), ids=PERSONA_FILES)
def test_personas_edited_during_a_run_are_refused(tmp_path, entries):
    """Otherwise a waiting job would use another text than its parameters say."""
    path = write(tmp_path / "personas.yaml", personas_content(*entries))
    with pytest.raises(InputError, match="changed since this run started"):
        chosen_personas(path, describe_personas(TOWN, ["baker", "smith"], "prompt"))


QUESTION_FILES = {
    "question edited": {"training": ["Why so?", "How is it so?"]},
    "question removed": {"training": ["Why is it so?"]},
    "set removed": {"other": ["When is it?"]},
}


@pytest.mark.parametrize("sets", QUESTION_FILES.values(), ids=QUESTION_FILES)
def test_questions_edited_during_a_run_are_refused(tmp_path, sets):
    path = write(tmp_path / "questions.yaml", {"sets": sets})
    with pytest.raises(InputError, match="changed since this run started"):
        chosen_questions(path, describe_questions(SETS, {"set": "training", "count": 2}))
