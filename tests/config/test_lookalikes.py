"""Names that only look the same, tables as spreadsheets save them, statistics that fall away, and valid input that is accepted."""

import json
import unicodedata

import pytest

from persona_leakage.config.blocks.experiment import Experiment
from persona_leakage.config.messages import parse
from persona_leakage.config.personas import personas_source, read_personas, read_question_sets, read_yaml
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.look_alikes import folded
from persona_leakage.tables.read import read_pairs
from tests.conftest import CONFIG, ROOT, run_program

HEADER = "layer,source,persona,category,related,cosine,rate,found,total"
PEOPLE = ("hero", "nurse", "pirate", "poet", "baker", "miller", "smith", "cook")


def write_pairs(folder, *rows, header=HEADER):
    (folder / "pairs.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder / "pairs.csv"


def pair(source, persona, category="other"):
    return f"3,{source},{persona},{category},false,0.5,0.1,1,10"


@pytest.mark.parametrize("name", ["villain ", " villain", "villain\u00a0", "\tvillain", "vil\x1b[31mlain"])
def test_a_name_with_blanks_at_its_ends_is_refused(tmp_path, name):
    """It would be another source than the same name without; a control character could rewrite the terminal."""
    with pytest.raises(InputError, match=r"line 3: source is .*; it must be a name, without blanks at its ends"):
        read_pairs(write_pairs(tmp_path, pair("villain", "hero"), pair(name, "nurse")))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sea captain", "sea\u00a0captain"),
        ("sea captain", "sea  captain"),
        ("villain", "Villain"),
        ("café owner", unicodedata.normalize("NFD", "café owner")),
        ("villain", "vil\u200blain"),
        ("straße", "STRASSE"),
        ("sea-farer", "sea\u2011farer"),
        ("sea-farer", "sea\u2212farer"),
        ("sea-farer", "sea\u2015farer"),
        ("sea_captain", "sea captain"),
        ("villain", "villain\ufe0f"),
        ("king's cook", "king\u2019s cook"),
    ],
)
def test_texts_that_look_alike(first, second):
    assert folded(first) == folded(second)


def test_texts_that_do_not():
    """Signs and accents make another name."""
    names = ["C", "C++", "cafe", "café", "hero2", "hero-2", "Hero", "2²", "22", "2₂"]
    assert len({folded(name) for name in names}) == len(names)


def test_what_spreadsheets_leave_behind(tmp_path):
    """A byte order mark, empty rows, columns without a name."""
    path = write_pairs(tmp_path, pair("x", "hero") + ",,", ",,,,,,,,,,", "", pair("x", "nurse") + ",,", header=HEADER + ",,")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert list(read_pairs(path)["persona"]) == ["hero", "nurse"]


def correlate(folder, rows):
    """What correlate_leakage says on stderr of a table."""
    path = write_pairs(folder, *rows)
    done = run_program("correlate_leakage", "--pairs", str(path), "--output", str(folder / "correlation.json"), cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


def rows_of(source, people):
    return [f"3,{source},{name},other,false,{(index + 1) / 10},{index / 10},{index},10" for index, name in enumerate(people)]


def test_statistics_that_fall_away_are_said_on_the_terminal(tmp_path):
    one = correlate(tmp_path, rows_of("villain", PEOPLE[:5]))
    assert "warning: there are no statistics over all sources: " in one
    some = correlate(tmp_path, [*rows_of("villain", PEOPLE), *rows_of("jester", PEOPLE[:-1]), *rows_of("knight", PEOPLE)])
    assert "warning: 1 bystanders are left out of the statistics over all sources, because not every source has them: 'cook'" in some
    assert correlate(tmp_path, [*rows_of("villain", PEOPLE), *rows_of("jester", PEOPLE), *rows_of("knight", PEOPLE)]) == ""


def test_merge_keys_are_yaml(tmp_path):
    path = tmp_path / "some.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n")
    assert read_yaml(path)["more"] == {"a": 1, "b": 3}
    path.write_text("base: &base {a: 1, b: 2}\nmore:\n  <<: *base\n  b: 3\n  b: 4\n")
    with pytest.raises(InputError, match=r"key 'b' appears twice .line 5"):
        read_yaml(path)


@pytest.mark.parametrize(("key", "value", "known"), [("name", "pirate_", "pirate"), ("category", "tone__variant", "tone_variant")])
def test_an_added_persona_that_looks_like_another_is_refused(key, value, known):
    """The tables of a finished experiment would be refused."""
    added = {"name": "sailor", "category": "own", "related_to": [], "prompt": "You sail the seas.", key: value}
    with pytest.raises(InputError, match=f"^personas.add: {key} '{value}' looks like '{known}'"):
        read_personas(personas_source(str(ROOT / "resources/personas.yaml"), [added]))


def questions_file(folder, *questions):
    (folder / "questions.yaml").write_text(json.dumps({"sets": {"one": list(questions)}}, ensure_ascii=False), encoding="utf-8")
    return folder / "questions.yaml"


def test_questions_that_differ_in_signs_are_two(tmp_path):
    questions = ["What is C used for?", "What is C++ used for?", "2+2?", "2-2?", "कल क्या है?", "कील क्या है?", "なぜ?", "?"]
    assert read_question_sets(questions_file(tmp_path, *questions))["one"] == questions


@pytest.mark.parametrize("again", ["what is C used for", "What  is C used for?", "What is C used for ?!"])
def test_a_question_in_another_spelling_is_the_same(tmp_path, again):
    with pytest.raises(InputError, match="is in set 'one' already"):
        read_question_sets(questions_file(tmp_path, "What is C used for?", again))


@pytest.mark.parametrize(
    ("block", "key", "value", "message"),
    [
        ("personas", "panel", ["villain", False], "YAML reads an entry as False, not as text: put quotes around it"),
        ("personas", "panel", ["villain", None], "YAML reads an entry as None, not as text: put quotes around it"),
        ("experiment", None, "My run", "experiment: 'My run' must be small letters, digits and . _ -, beginning with a letter or digit"),
    ],
)
def test_a_hint_is_in_plain_words(block, key, value, message):
    config = {**CONFIG, block: {**CONFIG[block], key: value} if key else value}
    with pytest.raises(InputError) as refusal:
        parse(Experiment, config, "my.yaml")
    assert message in str(refusal.value)


def test_prompts_that_look_alike_are_one(tmp_path):
    """An NFC tokenizer makes the same ids of the two, so that one persona would be measured twice."""
    prompts = ["You run a café by the sea.", unicodedata.normalize("NFD", "You run a café by the sea."), "You bake.", "You sail."]
    entries = [{"name": f"p{index}", "category": "c", "related_to": [], "prompt": text} for index, text in enumerate(prompts)]
    (tmp_path / "personas.yaml").write_text(json.dumps({"personas": entries}))
    with pytest.raises(InputError, match="personas 'p0' and 'p1' have the same prompt"):
        read_personas(tmp_path / "personas.yaml")


def test_a_figure_takes_no_other_tables_correlations(tmp_path):
    for name, people in (("first", PEOPLE), ("second", PEOPLE[::-1])):
        (tmp_path / name).mkdir()
        correlate(tmp_path / name, rows_of("villain", people))
    correlation, pairs = str(tmp_path / "first/correlation.json"), str(tmp_path / "second/pairs.csv")
    done = run_program("plot_figure", "scatter", "--pairs", pairs, "--correlation", correlation, "--output", "figure.png", cwd=tmp_path)
    assert done.returncode == 1 and "was not computed from" in done.stderr


def test_settings_come_from_a_file_too(tmp_path):
    (tmp_path / "settings.json").write_text('{"headline_layer": 1}')
    parser = new_parser("p", "d")
    assert parser.parse_args(["--settings", f"@{tmp_path}/settings.json"]).settings.headline_layer == 1
    with pytest.raises(SystemExit):
        parser.parse_args(["--settings", f"@{tmp_path}/nothing.json"])


def test_settings_too_long_for_a_command_go_by_file(project_copy):
    """As those of some thousand personas; the job gets the same, and a file for the same content is found again."""
    rules = project_copy.folder / "rules/config.smk"
    rules.write_text(rules.read_text().replace("LONGEST_ARGUMENT = 30_000", "LONGEST_ARGUMENT = 500"))
    before = read_yaml(project_copy.folder / "results/tiny/run_config.yaml")["config"]
    done = project_copy.run("--cores", "1", "-p", "results/tiny/run_config.yaml")
    assert "--settings @results/.settings/" in done.stdout
    assert read_yaml(project_copy.folder / "results/tiny/run_config.yaml")["config"] == before
    assert project_copy.planned("results/tiny/run_config.yaml") == {}
