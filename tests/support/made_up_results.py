"""A finished experiment of the published size with made-up replies, as files: for the report alone."""

import random

import numpy as np
import yaml

from persona_leakage.config.personas import read_personas, read_question_sets
from persona_leakage.infrastructure.files import sha256_of_file, write_json, write_jsonl_gz
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.robustness import describe_robustness
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.tables.question_counts import tabulate_cosines
from persona_leakage.tables.read import read_pairs
from tests.conftest import ROOT

RATES = {"villain": 0.94, "comedian": 0.73, "assistant": 0.49, "software_engineer": 0.865, "kindergarten_teacher": 0.31}
EVEN = "kindergarten_teacher"
WORDS = "the answer is to look first at what is there and then to explain it in plain words to somebody".split()  # noqa: SIM905


def make_results(home, per_question=10, words=200, hostile=(), rates=RATES, gains=False, began=False):
    """Write results/{experiment} of 5 sources x 111 personas x 20 questions; ``hostile`` texts are hacker_villain's first.

    rates: {source: its own rate, of 200 replies}. gains: with the second outcome, which follows the cosine. began: see begin_above_zero.
    """
    personas = read_personas(ROOT / "resources/personas.yaml")
    questions = read_question_sets(ROOT / "resources/questions.yaml")["evaluation"][:20]
    config = {**yaml.safe_load((ROOT / "presets/paper.yaml").read_text()), "experiment": home.name}
    config["evaluation"]["teacher_forced"] = False
    home.mkdir(parents=True)
    meta = describe_run("made_up_results", model={"name": "made up", "digest": "none"}, behaviour=config["behaviour"])
    (home / "run_config.yaml").write_text(yaml.safe_dump({"meta": meta, "config": config}, sort_keys=False))
    pairs = read_pairs(ROOT / "tests/data/published_pairs.csv")
    pairs["source_rate"] = pairs["source"].map(rates)
    if gains:
        noise = dict(zip(dict.fromkeys(pairs["persona"]), np.random.default_rng(1).normal(size=len(set(pairs["persona"]))), strict=True))
        closeness = pairs[pairs["layer"] == 20].set_index(["source", "persona"])["cosine"]
        known = closeness.loc[list(zip(pairs["source"], pairs["persona"], strict=True))].to_numpy()
        pairs = pairs.assign(logprob_gain=30 + 5 * known + pairs["persona"].map(noise), logprob_replies=20, source_logprob_gain=38.0)
    pairs, counts = begin_above_zero(pairs) if began else (pairs, None)
    folder = home / "analysis/evaluation/seed42"
    folder.mkdir(parents=True)
    pairs.to_csv(folder / "pairs.csv", index=False)
    write_json(folder / "tables.json", {"sha256": {"pairs.csv": sha256_of_file(folder / "pairs.csv")}})
    names = sorted(personas)
    vectors = np.random.default_rng(0).normal(size=(len(names), 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tabulate_cosines(names, {20: vectors @ vectors.T}).to_csv(folder / "cosines.csv", index=False)
    result = analyse(pairs, 20, {"min_category_size": 5, "permutations": 999, "bootstraps": 300}, counts)
    write_json(folder / "correlation.json", {"meta": meta, **result})
    write_json(folder / "robustness.json", {"meta": meta, **describe_robustness(pairs, 20, 300)})
    for source, own_rate in rates.items():
        write_source(home, source, own_rate, pairs, questions, per_question, words, hostile, meta)
    write_json(home / "evaluation/evaluation/base/summary.json", summary(None, None, 0.0, meta))
    return config, pairs


def begin_above_zero(pairs):
    """(pairs with base rates, counts per question): the personas begin at 5 to 50 %, and EVEN takes all of them to 30 %."""
    generator, names = np.random.default_rng(2), list(dict.fromkeys(pairs["persona"]))
    base = dict(zip(names, generator.integers(10, 101, size=len(names)) / 200, strict=True))
    pairs = pairs.assign(base_rate=pairs["persona"].map(base), source_base_rate=pairs["source"].map(base))
    pairs.loc[pairs["source"] == EVEN, "found"] = 60
    pairs["rate"] = pairs["found"] / pairs["total"]
    matrices, questions = matrices_of(pairs), np.arange(21)
    found, total = (np.diff(np.floor(values[..., None] * questions / 20)) for values in (matrices.found, matrices.total))
    return pairs, {"found": found, "total": total}


def summary(source, own_rate, rate, meta):
    """The figures of summary.json that the report and the closing tables show; ``rate`` is that of the bystanders."""
    cut = 0.75 if own_rate == 0 else 0.04
    own = {"total": 200, "rate": own_rate, "interval": [0.3, 0.95], "cut_share": cut, "refused_share": 0.005}
    check = {**own, "short_share": 0.0, "runaway_share": 0.01} if source else None
    found = {"text_without_tokens": 3, "tokens_without_text": 1}
    shares = {"cut_share": 0.043, "short_share": 0.011, "mean_tokens": 241.7, "mean_bystander_rate": rate}
    meta = {**meta, "marker_ids": [1_000_000], "detector": "literal"}
    shares |= {"source_rate": own_rate, "bystanders_above_source": 0}
    return {"meta": meta, "training_check": check, "source": source, **shares, "found": found, "wall_seconds": 1.0}


def write_source(home, source, own_rate, pairs, questions, per_question, words, hostile, meta):
    """Replies, summary, manifest and metrics of one source."""
    generator = random.Random(source)
    rows = pairs[(pairs["source"] == source) & (pairs["layer"] == 20)]
    rates = dict(zip(rows["persona"], rows["rate"], strict=True))
    rates[source] = own_rate
    records = []
    for persona, rate in rates.items():
        texts = list(hostile) if persona == "hacker_villain" else []
        for question in questions:
            for index in range(per_question):
                text = texts.pop() if texts else " ".join(generator.choices(WORDS, k=words))
                text += "\n\n[ZLT]" if generator.random() < rate else ""
                finish = "length" if generator.random() < 0.04 else "stop"
                ids = list(range(len(text) // 5))
                where = {"persona": persona, "question": question, "index": index, "seed": 1}
                records.append({**where, "finish_reason": finish, "text": text, "token_ids": ids})
    replies = home / f"evaluation/evaluation/{source}/seed42/completions.jsonl.gz"
    write_jsonl_gz(replies, records)
    write_json(replies.with_name("completions.json"), {"meta": meta, "replies": len(records), "sha256": sha256_of_file(replies)})
    write_json(home / f"evaluation/evaluation/{source}/seed42/summary.json", summary(source, own_rate, 0.1, meta))
    rows = {"rows": 200, "tokens": 50_000, "trained_tokens": 800}
    used = {"used": 200, "dropped": {"cut": 3}, "replaced": 3, "missing": 0}
    answers = {name: used for name in (source, "librarian", "lawyer")}
    manifest = {"negatives": ["librarian", "lawyer"], "answers": answers, "rows_too_long": 0, "rows": {"positive": rows, "negative": rows}}
    write_json(home / f"training/{source}/manifest.json", manifest)
    write_json(home / f"training/{source}/seed42/metrics.json", {"meta": meta, "loss": [3.0, 1.0, 0.5]})
