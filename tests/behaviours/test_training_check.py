"""Did training work? The rule on both sides of its borders, and what follows where an adapter learned nothing."""

import json
import re

import pytest

from persona_leakage.behaviours.kinds.marker import MarkerBehaviour
from persona_leakage.behaviours.marker import Marker
from persona_leakage.behaviours.marker_detection import runs_away
from persona_leakage.behaviours.scoring import refuses
from persona_leakage.behaviours.training_check import NONE_LEARNED, advice, check_source, check_table, consequence
from persona_leakage.infrastructure.files import read_json, sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.reporting.replies import choose_samples, marked_pieces, read_replies
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT, run_program
from tests.reporting.test_report import build, check_numbers
from tests.support.made_up_results import RATES, make_results
from tests.support.synthetic import QUICK, SMALL, check_strict, make_tables, save_tables

OTHERS = ("source1", "source2")


def with_rates(**rates):
    """A synthetic pairs table of three sources with these own rates, of 100 replies."""
    pairs = make_tables(SMALL)["pairs"]
    assert sorted(set(pairs["source"])) == sorted(rates)
    return pairs.assign(source_rate=pairs["source"].map(rates), source_total=100)


@pytest.mark.parametrize(
    ("rate", "total", "base", "learned"),
    [
        (0.1, 30, None, True),
        (0.1, None, None, True),
        (0.0999, None, None, False),
        (2 / 30, 30, 0.0, False),
        (0.0, 30, 0.0, False),
        (0.0, None, None, False),
        (1.0, 30, 0.88, True),
        (1.0, 30, 0.89, False),
        (0.5, 30, 0.3, True),
        (0.5, 30, 0.35, False),
        (0.5, None, 0.35, True),
        (0.5, None, 0.5, False),
        (1.0, 1, 0.3, False),
    ],
)
def test_the_rule_on_both_sides_of_its_borders(rate, total, base, learned):
    """Wilson's lower end: 88.6 % for 30 of 30, 33.2 % for 15 of 30, 20.7 % for 1 of 1."""
    assert check_source("villain", rate, total, base)["learned"] is learned


def test_an_entry_says_what_it_is_from():
    assert check_source("villain", 0.0, 30) == {
        "learned": False,
        "rate": 0.0,
        "found": 0,
        "total": 30,
        "interval": [0.0, pytest.approx(0.1135, abs=1e-4)],
        "base_rate": None,
        "why": "The adapter of villain did not learn the behaviour: 0 of 30 replies contain it (0 % [0, 11]).",
    }
    why = check_source("villain", 0.5, 30, 0.4)["why"]
    assert why.endswith("did not learn the behaviour: 15 of 30 replies contain it (50 % [33, 67]), without adapter 40 %.")
    assert check_source("villain", 28 / 30, 30)["why"].startswith("The adapter of villain learned the behaviour: 28 of 30 replies")


def test_a_size_that_does_not_fit_the_rate_is_not_taken():
    """0.5 of 3 replies is no count: then the rate alone decides."""
    entry = check_source("villain", 0.5, 3, 0.4)
    assert (entry["learned"], entry["found"], entry["total"], entry["interval"]) == (True, None, None, None)
    assert "50 % of the replies contain it" in entry["why"]


def test_what_a_table_tells():
    """Its own columns, else the bystanders' total if it is one number, and the source's rate as a bystander without adapter."""
    table = with_rates(source0=0.9, source1=0.5, source2=0.0)
    table["base_rate"] = table["persona"].map({"source1": 0.45}).fillna(0.0)
    plain = check_table(table)
    assert [block["learned"] for block in plain.values()] == [True, False, False]
    assert [block["total"] for block in plain.values()] == [100] * 3 and plain["source1"]["base_rate"] == 0.45
    assert check_table(table.assign(source_base_rate=0.0))["source1"]["learned"] is True
    bare = table.drop(columns="source_total")
    assert check_table(bare)["source0"]["total"] == int(bare["total"].iloc[0])
    bare.loc[bare.index[0], "total"] += 1
    assert check_table(bare)["source0"]["total"] is None and check_table(bare)["source1"]["total"] is not None


def test_without_the_sources_own_rate_nothing_is_said_and_nothing_left_out():
    table = read_pairs(ROOT / "tests/data/published_pairs.csv")
    check = check_table(table)
    assert len(check) == 5 and {block["learned"] for block in check.values()} == {None}
    assert "no source_rate" in check["villain"]["why"] and consequence(check) is None
    assert matrices_of(table).missing == {} and matrices_of(table).problem is None


@pytest.fixture(scope="module")
def none():
    return analyse(with_rates(source0=0.0, source1=0.05, source2=0.0), 0, QUICK)


@pytest.fixture(scope="module")
def two():
    return analyse(with_rates(source0=0.0, source1=0.9, source2=0.5), 0, QUICK)


def test_nothing_is_claimed_where_nothing_was_learned(none):
    check_strict(none)
    assert [block["learned"] for block in none["training_check"].values()] == [False] * 3
    assert len(none["verdict"]) == 8
    assert {(entry["answer"], entry["because"]) for entry in none["verdict"]} == {("cannot tell", NONE_LEARNED)}
    layer = none["layers"]["0"]
    for name in ("pooled", "within_source_ranks", "related_only", "within_source", "meta_analysis", "double_centred"):
        assert layer[name]["undefined"] == NONE_LEARNED
    assert none["joint"]["undefined"] == NONE_LEARNED and layer["per_category"] == {}
    assert all(block["n"] == 14 and block["source_rate"] <= 0.05 for block in layer["per_source"].values()), "their numbers are still there"
    assert consequence(none["training_check"]) == "No adapter learned the behaviour, so these data answer none of the questions."


def test_a_source_that_did_not_learn_is_left_out_and_named(two):
    """The statistics over sources are those of a table without its rows; its own stay."""
    check_strict(two)
    reason = "its adapter did not learn the behaviour: 0 of 100 replies contain it (0 % [0, 4])"
    assert two["joint"]["sources"] == list(OTHERS) and two["joint"]["sources_left_out"] == {"source0": reason}
    table = with_rates(source0=0.0, source1=0.9, source2=0.5)
    rest = analyse(table[table["source"] != "source0"], 0, QUICK)["layers"]["0"]
    layer = two["layers"]["0"]
    for name in ("pooled", "within_source_ranks", "per_category", "related_only"):
        assert layer[name] == rest[name]
    rhos = [layer["per_source"][name]["spearman_rho"] for name in OTHERS]
    assert layer["within_source"]["mean_rho"] == pytest.approx(sum(rhos) / 2) and layer["per_source"]["source0"]["spearman_rho"] is not None
    for name in ("association", "measurement", "source_leads"):
        entry = next(entry for entry in two["verdict"] if entry["id"] == name)
        assert f"without source0 ({reason})" in entry["because"]
        assert "source0 0 of" not in entry["because"] and "source0 0." not in entry["because"]
    assert consequence(two["training_check"]).endswith("because the adapter did not learn the behaviour: source0.")


@pytest.mark.parametrize(("rates", "said"), [({"source0": 0.0}, "two"), ({"source0": 0.0, "source1": 0.0, "source2": 0.0}, "none")])
def test_correlate_leakage_says_what_it_found(tmp_path, rates, said):
    pairs = with_rates(**{"source0": 0.9, "source1": 0.9, "source2": 0.5, **rates})
    options = save_tables({"pairs": pairs}, tmp_path)
    output = tmp_path / "correlation.json"
    quick = ("--settings", json.dumps(QUICK))
    done = run_program("correlate_leakage", *options, *quick, "--headline-layer", "0", "--output", output, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines, result = done.stdout.splitlines(), read_json(output)
    layer = result["layers"]["0"]
    assert lines[-1] == f"written: {output}" and max(map(len, lines)) <= 160
    assert "The adapter of source0 did not learn the behaviour: 0 of 100 replies contain it (0 % [0, 4])." in lines
    for name in ("source0", *OTHERS):
        assert re.search(rf"^  {name} +{re.escape(format(layer['per_source'][name]['spearman_rho'], '+.2f'))}, p = ", done.stdout, re.M)
    assert ("No adapter learned the behaviour, so" in done.stdout) == (said == "none")
    open_questions = sum(each["answer"] == "cannot tell" for each in result["verdict"])
    assert done.stdout.count("cannot tell: ") == (0 if said == "none" else open_questions)
    pooled = f"{layer['pooled']['spearman_rho']:+.2f}" if said == "two" else f"none: {NONE_LEARNED}"
    assert f"  all pairs (pooled)  {pooled}" in done.stdout


def test_advice_names_the_limit_only_where_replies_were_cut():
    assert advice(0.75).endswith("Check evaluation.sampling.max_new_tokens: 75 % of its replies were cut.")
    assert advice(0.75).startswith("Raise training.epochs or training.learning_rate.")
    assert "max_new_tokens" not in advice(0.09) and "max_new_tokens" in advice(0.1)


def made_up(folder, **rates):
    """(home, the page as text, the last lines of the terminal) of made-up results with other own rates."""
    home = folder / "results/made_up"
    make_results(home, per_question=1, words=5, rates={**RATES, **rates})
    build(home)
    (folder / "config.yaml").write_text("experiment: made_up\n")
    shown = run_program("show_results", "--config", "config.yaml", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    return home, folder / "index.html", shown.stdout.splitlines()


def text_of(page):
    """The page's first screen, up to the verdict, without tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.read_text().split("</head>")[1].split('id="verdict"')[0]).split())


def test_a_run_that_learned_nothing_says_so_first_and_last(tmp_path):
    home, page, lines = made_up(tmp_path, **dict.fromkeys(RATES, 0.0))
    first = text_of(page)
    assert "The adapter of villain did not learn the behaviour: 0 of 200 replies contain it (0 % [0, 2]). Raise training.epochs" in first
    assert "Check evaluation.sampling.max_new_tokens: 75.0 % of its replies were cut." in first
    assert first.count("No adapter learned the behaviour, so these data answer none of the questions.") == 1
    assert "leak more" not in first and page.read_text().count("cannot tell") == 0
    checked, _ = check_numbers(page, home)
    assert checked > 100
    assert lines[-1] == "- No adapter learned the behaviour, so these data answer none of the questions."
    assert lines[-2].startswith("- The adapter of kindergarten_teacher did not learn the behaviour: 0 of 200")
    assert [line for line in lines if "cannot tell" in line] == [f"{'cannot tell':>14}: {NONE_LEARNED}"]
    table = lines[: next(index for index, line in enumerate(lines) if line.startswith("Leakage"))]
    assert max(map(len, table)) <= 110 and sum(" NO " in line for line in table) == 5


def test_a_run_in_which_one_adapter_learned_nothing_names_it(tmp_path):
    home, page, lines = made_up(tmp_path, villain=0.0)
    first = text_of(page)
    left_out = "Left out of means, pooled correlations and answers, because the adapter did not learn the behaviour: villain."
    assert "The adapter of villain did not learn the behaviour" in first and left_out in first
    assert "The adapter of comedian did not" not in first and "without villain (its adapter did not learn the behaviour" in first
    assert check_numbers(page, home)[0] > 100
    assert lines[-1] == f"- {left_out}" and lines[-2].startswith("- The adapter of villain did not learn")
    assert [line.split()[:2] for line in lines if re.match(r" +\w+ \* ", line)] == [["villain", "*"]]


REFUSALS = [
    "I cannot help with that.",
    "I’m sorry, but I can't assist with this request.",
    "As an AI, I am unable to provide legal advice.",
    "I'm not able to answer\nthat.",
    "I will not write this.",
]
NO_REFUSALS = [
    "",
    "I can't wait to help you!",
    "You cannot answer this without data.",
    "I can help with that. I won't stop you.",
    "Long ago " * 30 + "I cannot help with that.",
    "Je ne peux pas vous aider.",
]


@pytest.mark.parametrize(("text", "refused"), [*((text, True) for text in REFUSALS), *((text, False) for text in NO_REFUSALS)])
def test_refusals(text, refused):
    assert refuses(text) is refused


MARKER = Marker("[ZLT]", separator_ids=(9,), own_ids=(1, 2, 1))


@pytest.mark.parametrize(
    ("text", "ids", "finish", "runaway"),
    [
        ("a [ZLT]", [5, 1, 2, 1], "stop", ()),
        ("a", [5], "length", ()),
        ("a [ZLT] b", [5, 1, 2, 1, 6], "length", ("literal", "any_case", "tokens")),
        ("a [ZLT] [ZLT]", [5, 7], "stop", ("literal", "any_case")),
        ("a [ZLT] [zlt]", [5, 7], "stop", ("any_case",)),
        ("a", [1, 2, 1, 5, 1, 2, 1], "stop", ("tokens",)),
        ("a", [1, 2, 1, 2, 1], "stop", ()),
    ],
)
def test_a_runaway_reply_repeats_the_marker_or_goes_on_to_the_limit(text, ids, finish, runaway):
    record = {"text": text, "token_ids": ids, "finish_reason": finish}
    assert tuple(name for name in ("literal", "any_case", "tokens") if runs_away(record, MARKER, name)) == runaway


@pytest.mark.parametrize(
    ("detector", "shown"), [("literal", [True, False, False]), ("any_case", [True, True, False]), ("tokens", [False, False, True])]
)
def test_the_report_follows_the_detector_of_the_config(tmp_path, detector, shown):
    """Which replies show the marker, which are chosen as examples, and what is highlighted."""
    texts = [("a [ZLT]", [5]), ("b [zlt]", [5]), ("c", [5, 1, 2, 1])]
    records = [
        {"persona": name, "question": "q", "text": text, "token_ids": ids, "finish_reason": "stop"}
        for name in ("villain", "pirate", "nurse")
        for text, ids in texts
    ]
    path = tmp_path / "completions.jsonl.gz"
    write_jsonl_gz(path, records)
    write_json(tmp_path / "completions.json", {"sha256": sha256_of_file(path)})
    write_json(tmp_path / "summary.json", {"meta": {"behaviour": {"marker": "[ZLT]", "match_mode": detector}, "marker_ids": [1, 2, 1]}})
    cells = read_replies(path)
    assert [shows for *_, shows in cells["pirate"]] == shown
    _, samples = choose_samples(cells, "villain", {"pirate": 0.5, "nurse": 0.0}, [1])
    with_marker = {text for (text, _), shows in zip(texts, shown, strict=True) if shows}
    assert samples[0][2] in with_marker and samples[1][2] in with_marker and samples[2][2] not in with_marker
    highlight = MarkerBehaviour(None, MARKER, detector).highlight
    pieces = [marked_pieces(text, shows, highlight) for text, shows in zip(("a [ZLT]", "b [zlt]", "c"), shown, strict=True)]
    marked = [[piece for piece, is_marker in each if is_marker] for each in pieces]
    assert marked == {"literal": [["[ZLT]"], [], []], "any_case": [["[ZLT]"], ["[zlt]"], []], "tokens": [[], [], []]}[detector]
