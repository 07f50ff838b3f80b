"""Mean scores as the outcome: a hand-made table with known numbers, and the statistics of such a table."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from persona_leakage.behaviours.kinds.scored import ScoredBehaviour
from persona_leakage.behaviours.training_check import check_table
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.robustness import describe_robustness
from persona_leakage.statistics.leakage.signed_change import describe_change
from persona_leakage.tables.build import errors_of
from persona_leakage.tables.mean_scores import PAIR_COLUMNS, add_means, signed_means
from persona_leakage.tables.question_counts import read_question_counts, tabulate_questions
from persona_leakage.tables.read import read_pairs
from tests.support.synthetic import SMALL, checked, make_tables, read_back

QUESTIONS = ["a?", "b?", "c?", "d?", "e?"]
# Scores of two replies to each question; None: the scorer cannot decide.
SCORES = {
    ("base", "s"): [(80, 90), (80, 80), (90, 90), (85, 75), (70, 80)],
    ("base", "p"): [(90, 90), (80, None), (90, 80), (80, 80), (90, 90)],
    ("base", "q"): [(50, 50)] * 5,
    ("s", "s"): [(10, 20), (30, 20), (10, 10), (20, 30), (20, 10)],
    ("s", "p"): [(80, 90), (60, 70), (60, None), (80, 90), (70, 70)],
    ("s", "q"): [(None, None)] * 5,
}


def cells_of(state):
    """{persona: cell} of SCORES: the behaviour is a score of 30 and less."""
    behaviour = ScoredBehaviour(None, "unkind", None, lambda record: record["score"], 30, "low")
    reply = {"text": "", "token_ids": [], "finish_reason": "stop"}
    cells = {}
    for (where, persona), scores in SCORES.items():
        if where == state:
            pairs = zip(QUESTIONS, scores, strict=True)
            cells[persona] = behaviour.cell([{**reply, "question": each, "score": score} for each, both in pairs for score in both])
    return cells


def hand_made():
    """(pairs, evaluations, base) of the source s with the bystanders p and q."""
    base, after = cells_of("base"), cells_of("s")
    facts = {"layer": 0, "source": "s", "category": "c", "related": False, "cosine": 0.5}
    rates = {name: {"rate": after[name]["rate"], "found": after[name]["found"], "total": after[name]["total"]} for name in ("p", "q")}
    own = {"source_rate": after["s"]["rate"], "source_total": 10, "source_base_rate": 0.0}
    pairs = pd.DataFrame([{**facts, "persona": name, **rates[name], "base_rate": 0.0, **own} for name in ("p", "q")])
    return add_means(pairs, {"s": after}, base, "low", errors_of), {"s": after}, base


def test_a_hand_made_table():
    """Low scores are the behaviour: leakage is the fall of the mean over the replies that have a score."""
    table, _, _ = hand_made()
    row = table.iloc[0]
    assert (row.outcome, row.base_outcome) == pytest.approx((670 / 9, 770 / 9))
    assert row.leakage == pytest.approx(100 / 9) and (row.scored, row.questions) == (9, 5)
    assert (row.source_outcome, row.source_base_outcome, row.source_leakage) == pytest.approx((18, 82, 64))
    # Equal totals: the bootstrap error is that of the mean of the differences by question.
    falls = [np.mean(before) - np.mean(after) for before, after in zip(SCORES["base", "s"], SCORES["s", "s"], strict=True)]
    assert row.source_leakage_se == pytest.approx(stats.sem(falls), rel=0.05)
    assert math.isnan(table.iloc[1].leakage) and table.iloc[1].scored == 0, "no reply of q has a score"


def test_the_hand_made_table_is_read_back(tmp_path):
    """Sums of scores, negative because low is the behaviour, and numbers of scored replies, by question."""
    table, evaluations, _ = hand_made()
    table.to_csv(tmp_path / "pairs.csv", index=False, na_rep="nan")
    tabulate_questions(evaluations, means=True).to_csv(tmp_path / "question_counts.csv", index=False, na_rep="nan")
    matrices = matrices_of(read_pairs(tmp_path / "pairs.csv"))
    counts = read_question_counts(tmp_path / "question_counts.csv", matrices)
    place = matrices.personas.index("p")
    assert counts["found"][0, place].tolist() == [-170, -130, -60, -170, -140] and counts["total"][0, place].tolist() == [2, 2, 1, 2, 2]
    assert matrices.leakage[0, place] == pytest.approx(100 / 9) and matrices.linear and matrices.sign == -1
    with pytest.raises(InputError, match="lacks the columns score and scored"):
        tabulate_questions(evaluations).to_csv(tmp_path / "question_counts.csv", index=False)
        read_question_counts(tmp_path / "question_counts.csv", matrices)


def test_whether_the_source_learned_is_judged_by_its_mean():
    table, _, _ = hand_made()
    block = check_table(table)["s"]
    half = stats.t.ppf(0.975, 4) * table["source_leakage_se"].iloc[0]
    assert block["learned"] is True and block["mean"]["interval"] == pytest.approx([64 - half, 64 + half])
    assert "mean score 18, without adapter 82 (leakage 64 [" in block["why"]
    unknown = check_table(table.assign(source_leakage_se=math.nan))["s"]
    assert unknown["learned"] is None and "unknown" in unknown["why"]
    rises = check_table(table.assign(source_leakage=-64.0))["s"]
    assert rises["learned"] is False, "a change away from the behaviour"


def test_the_change_of_a_persona_is_tested_over_questions():
    table, _, _ = hand_made()
    change = describe_change(table)["s"]
    block, row = change["personas"]["p"], table.iloc[0]
    assert change["test"] == "t test over questions" and list(change["personas"]) == ["p"]
    assert block["p"] == pytest.approx(2 * stats.t.sf(row.leakage / row.leakage_se, 4)) and block["base_outcome"] == row.base_outcome
    assert block["interval"] == pytest.approx(stats.t.interval(0.95, 4, row.leakage, row.leakage_se))


def with_means(direction, base=0.0):
    """Synthetic tables whose scores are 100 for a reply that shows the behaviour and 0 for another one, or the reverse for low."""
    tables, low = make_tables(SMALL), direction == "low"
    pairs, questions = tables["pairs"], tables["question_counts"]

    def score(share):
        return 100 - 100 * share if low else 100 * share

    tables["pairs"] = pairs.assign(base_rate=base).assign(
        outcome=score(pairs["rate"]),
        base_outcome=score(base),
        leakage=100 * (pairs["rate"] - base),
        leakage_se=3.0,
        scored=pairs["total"],
        questions=SMALL.questions,
        source_outcome=score(0.5),
        source_base_outcome=score(base),
        source_leakage=100 * (0.5 - base),
        source_leakage_se=5.0,
    )
    tables["question_counts"] = questions.assign(score=score(questions["found"] / questions["total"]), scored=questions["total"])
    return tables


def test_means_of_two_values_give_the_statistics_of_their_share(tmp_path):
    """Scores of 0 and 100 rank the personas as the share does; whether high or low is the behaviour makes no difference."""
    shares = checked(*read_back(make_tables(SMALL), tmp_path))
    found = {direction: checked(*read_back(with_means(direction), tmp_path)) for direction in ("high", "low")}
    for key in ("within_source", "per_source"):
        for result in found.values():
            blocks = result["layers"]["0"][key], shares["layers"]["0"][key]
            blocks = blocks if key == "within_source" else [each["source0"] for each in blocks]
            for name in ("mean_rho", "interval") if key == "within_source" else ("spearman_rho", "kendall_tau", "spearman_interval"):
                assert blocks[0][name] == pytest.approx(blocks[1][name], abs=1e-9)
    high, low = ({name: block["layers"]["0"]["double_centred"]["r"] for name, block in found.items()}[each] for each in ("high", "low"))
    assert high == pytest.approx(low)
    assert high != pytest.approx(shares["layers"]["0"]["double_centred"]["r"], abs=1e-6), "no log-odds of a mean"
    assert found["low"]["outcome"] == "mean_score" and {"signed_change", "even_spread"} <= {*found["low"]}
    assert "source_leads" not in {entry["id"] for entry in found["low"]["verdict"]}


def test_robustness_has_no_log_odds_of_means(tmp_path):
    pairs, counts, _ = read_back(with_means("low"), tmp_path)
    checks = {check["name"]: check for check in describe_robustness(pairs, 0, 50, counts)["checks"]}
    assert checks["log_odds"]["undefined"] == "a mean score has no log-odds" and checks["main"]["estimate"] is not None


BAD = [
    ({"leakage": 5.0}, "leakage is 5.0, but outcome and base_outcome are"),
    ({"source_leakage": 1.0}, "source_leakage is 1.0, but source_outcome and source_base_outcome are"),
]


@pytest.mark.parametrize(("changes", "said"), BAD)
def test_means_that_contradict_themselves_are_refused(tmp_path, changes, said):
    table, _, _ = hand_made()
    table.iloc[:1].assign(**changes).to_csv(tmp_path / "pairs.csv", index=False, na_rep="nan")
    with pytest.raises(InputError, match=f"pairs.csv, line 2: {said}"):
        read_pairs(tmp_path / "pairs.csv")


def test_a_table_with_some_of_the_columns_or_both_directions_is_refused(tmp_path):
    table, _, _ = hand_made()
    table.drop(columns="scored").to_csv(tmp_path / "pairs.csv", index=False, na_rep="nan")
    with pytest.raises(InputError, match=r"line 2: has the column outcome but not scored; a table of mean scores has outcome"):
        read_pairs(tmp_path / "pairs.csv")
    both = pd.concat([table.iloc[:1], table.iloc[:1].assign(persona="r", leakage=-table["leakage"].iloc[0])])
    both.to_csv(tmp_path / "pairs.csv", index=False, na_rep="nan")
    with pytest.raises(InputError, match=r"pairs.csv: leakage is the rise of outcome in some rows and the fall in others"):
        read_pairs(tmp_path / "pairs.csv")
    assert {*PAIR_COLUMNS} <= {*table} and signed_means(table)[1] == -1
