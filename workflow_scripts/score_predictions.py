"""Score frozen predictions against the leakage measured after training; changed files are rejected."""

from pathlib import Path

import pandas as pd

from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.finished_study import model_identity
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path, check_is_file, read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.prediction.frozen import check_same, check_study, read_sealed
from persona_leakage.statistics.prediction.scoring import calibration_curve, join_measured, score_source
from persona_leakage.tables.read import read_pairs


class Settings(Block):
    """What the results are of, to compare with what was predicted. predictions: digest of the frozen file, which makes a score stale."""

    prompts: str | None = None
    training_recipe: str | None = None
    measured: str | None = None
    predictions: str | None = None


def main(argv=None):
    """Write score.json, and score.csv with a row for each predicted and measured pair."""
    parser = new_parser("score_predictions", __doc__, "predictions", "output", "table", settings=Settings)
    parser.add_argument("--pairs", nargs="+", required=True, metavar="PATH", help="pairs.csv of each training seed")
    parser.add_argument("--correlations", nargs="+", required=True, metavar="PATH", help="correlation.json of each, for its model and seed")
    args = parser.parse_args(argv)
    table = Path(args.predictions).with_suffix(".csv")
    check_is_file(args.predictions)
    frozen = read_sealed(args.predictions, table)
    check_study(frozen, args.predictions)
    predictions, scores, joined = pd.read_csv(table), [], []
    for pairs, path in zip(args.pairs, args.correlations, strict=True):
        meta = read_json(path, "correlate_leakage")["meta"]
        check_same(frozen, described(meta, args.settings), args.predictions)
        rows = join_measured(predictions, read_pairs(pairs)).assign(seed=meta["training_seed"])
        if rows.empty:
            raise InputError(f"{pairs}: has none of the new pairs of {table}; score the experiment that was predicted")
        joined.append(rows)
        scores += [
            {"seed": meta["training_seed"], "source": source, "kind": part["kind"].iloc[0], **score_source(part)}
            for source, part in rows.groupby("source", sort=False)
        ]
    whole = pd.concat(joined)
    with atomic_path(args.table) as temporary:
        whole.to_csv(temporary, index=False, lineterminator="\n")
    warnings = [each for each in (fewer_replies(whole, frozen["replies"]), too_late(frozen["trained_before"])) if each]
    content = {"frozen": frozen["time"], "ranking_only": frozen["ranking_only"], "scores": scores, "curve": calibration_curve(whole)}
    write_json(args.output, {"meta": describe_run("score_predictions"), **content, "warnings": warnings})
    print("\n".join([*map(describe, scores), *(f"warning: {each}" for each in warnings), f"written: {args.output}"]))


def described(meta, settings):
    """What the results are of, as the names of a frozen file's inputs; without what is unknown."""
    model = model_identity(meta["model"]) if meta.get("model") else None
    found = {"model": model, "prompts": settings.prompts, "training recipe": settings.training_recipe}
    found["behaviour, questions and sampling"] = settings.measured
    return {key: value for key, value in found.items() if value is not None}


def fewer_replies(rows, replies):
    """A sentence if the personas have fewer replies than those that the intervals are for; else None."""
    least = int(rows["total"].min())
    if least >= replies:
        return None
    return f"{least} replies of a persona; the intervals are for {replies}. Fewer replies add noise, so fewer rates are inside"


def too_late(trained):
    """A sentence if sources were trained before their predictions; else None."""
    return f"{', '.join(trained)}: trained before the predictions were made, so these are not predictions" if trained else None


def describe(score):
    """A line for a terminal."""
    if score["undefined"]:
        ranking = f"no ranking: {score['undefined']}"
    else:
        block, auc = score["rank_correlation"]["cosine"], score["auc"]["cosine"]
        ranking = f"rank correlation {block['rho']:+.2f} (p = {block['p']:.2g})" + ("" if auc is None else f", AUC {auc:.2f}")
    amounts = score["amounts"]
    if amounts["undefined"]:
        return f"{score['source']}, seed {score['seed']}: {ranking}; {amounts['undefined']}"
    inside = f"{amounts['covered']} of {score['personas']} rates inside their 95 % interval"
    error = f"mean error {100 * amounts['error']:.1f} points ({100 * amounts['error_of_the_mean']:.1f} for their own mean)"
    return f"{score['source']}, seed {score['seed']}: {ranking}; {inside}; {error}"


if __name__ == "__main__":
    run_program(main)
