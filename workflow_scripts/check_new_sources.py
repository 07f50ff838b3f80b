"""Predict one more source from a finished study of many: is its correlation positive, and how much will it leak?"""

from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from persona_leakage.config.finished_study import analysis_folders
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.meta_analysis import combine_correlations
from persona_leakage.statistics.prediction.new_sources import (
    FEWEST,
    describe_bystanders,
    describe_correlations,
    describe_levels,
    hold_out_levels,
)
from persona_leakage.statistics.prediction.study import read_study, spread
from persona_leakage.tables.read import read_pairs

GAIN, RATE = "logprob_gain", "rate"
UNITS = {GAIN: "nats", RATE: "log-odds"}
# Of a source, known before training: mean uncentred cosine to the other personas; tokens of its prompt; of the base model's replies.
PREDICTORS = ("cosine_raw", "prompt_tokens", "base_reply_tokens")


def read_outcomes(study):
    """{outcome: [S, P]}, means over the training seeds, NaN for a source itself and its negatives; InputError without the gain."""
    gains = []
    for folder in analysis_folders(study.folder, study.config):
        table = read_pairs(folder / "pairs.csv")
        if GAIN not in table:
            raise InputError(f"{folder}/pairs.csv: has no column {GAIN}; set evaluation.teacher_forced and run the study again")
        gains.append(spread(table[table["layer"] == study.layer], study.sources, study.personas, study.folder, (GAIN,))[GAIN])
    return {GAIN: np.mean(gains, axis=0), RATE: study.odds.mean(axis=0)}


def read_predictors(study):
    """{predictor: [S]} of PREDICTORS, from the first seed's table; without those that it does not have or that are constant."""
    table = read_pairs(analysis_folders(study.folder, study.config)[0] / "pairs.csv")
    table = table[table["layer"] == study.layer]
    of_persona = table.drop_duplicates("persona").set_index("persona")
    found = {"cosine_raw": table.groupby("source")["cosine_raw"].mean().reindex(study.sources)}
    found |= {name: of_persona[name].reindex(study.sources) for name in PREDICTORS[1:] if name in of_persona}
    return {name: values.to_numpy(dtype=float) for name, values in found.items() if values.notna().all() and values.nunique() > 1}


def rhos_of(study, outcome):
    """(Spearman correlation of closeness with the outcome, number of bystanders) of each source: two [S]."""
    rows = []
    for x, y in zip(study.closeness, outcome, strict=True):
        known = ~(np.isnan(x) | np.isnan(y))
        rows.append((float(standard_ranks(x[known]) @ standard_ranks(y[known])), int(known.sum())))
    rhos, sizes = map(np.array, zip(*rows, strict=True))
    if wrong := [f"{name} {rho:.3g}" for name, rho in zip(study.sources, rhos, strict=True) if not abs(rho) < 1 - 1e-12]:
        raise InputError(f"{study.folder}: correlations without an interval: {', '.join(wrong)} (nan: all bystanders leak alike)")
    return rhos, sizes


def main(argv=None):
    """Print the answers; write new_sources.json and new_sources.csv (a row per outcome and source)."""
    parser = new_parser("check_new_sources", __doc__)
    parser.add_argument("study", metavar="FOLDER", help=f"a finished study of at least {FEWEST} sources")
    parser.add_argument(
        "--earlier", metavar="FOLDER", help="a finished study whose intervals for one more source are compared with this one"
    )
    parser.add_argument("--output-folder", metavar="PATH", help="(default: the study's folder)")
    args = parser.parse_args(argv)
    study, earlier = read_study(args.study), read_study(args.earlier) if args.earlier else None
    if len(study.sources) < FEWEST:
        raise InputError(f"{args.study}: has {len(study.sources)} sources whose adapters learned the behaviour; at least {FEWEST} needed")
    if earlier and {*earlier.sources} & {*study.sources}:
        shared = ", ".join(sorted({*earlier.sources} & {*study.sources}))
        raise InputError(f"--earlier: {args.earlier} has sources of {args.study}: {shared}; these sources are not new")
    outcomes, theirs = read_outcomes(study), read_outcomes(earlier) if earlier else {}
    found, tables = {}, []
    for name, outcome in outcomes.items():
        found[name], table = describe(study, name, outcome, earlier, theirs.get(name))
        tables.append(table)
    folder = Path(args.output_folder or args.study)
    with atomic_path(folder / "new_sources.csv") as temporary:
        pd.concat(tables).to_csv(temporary, index=False, lineterminator="\n")
    facts = {"files": study.files, "earlier_files": earlier.files if earlier else None, "layer": study.layer, "left_out": study.left_out}
    write_json(folder / "new_sources.json", {"meta": describe_run("check_new_sources", **facts), "outcomes": found})
    for name, block in found.items():
        print(f"\n{name}\n{tabulate(answers(block, UNITS[name]), tablefmt='github')}")
    print(f"\nwritten: {folder}/new_sources.json, {folder}/new_sources.csv")


def describe(study, name, outcome, earlier, theirs):
    """(block of an outcome, its table). earlier, theirs: the earlier study and its outcome, or None."""
    rhos, sizes = rhos_of(study, outcome)
    levels, predictors = np.nanmean(outcome, axis=1), read_predictors(study)
    interval = combine_correlations(*rhos_of(earlier, theirs))["next_source_interval"] if earlier else None
    block = {
        "unit": UNITS[name],
        "correlation": describe_correlations(rhos, sizes, interval),
        "level": describe_levels(levels, predictors, np.nanmean(theirs, axis=1) if earlier else None),
        "bystanders": describe_bystanders(study.closeness, outcome),
    }
    predicted, low, high = hold_out_levels(levels).T
    columns = {"outcome": name, "source": study.sources, "bystanders": sizes, "rho": rhos, "level": levels}
    return block, pd.DataFrame({**columns, "predicted": predicted, "low": low, "high": high, **predictors})


def answers(block, unit):
    """Rows of the printed table."""
    rho, level, pairs = block["correlation"], block["level"], block["bystanders"]
    rows = [
        ("sources; correlation positive in", f"{rho['sources']}; {rho['positive']['sources']}"),
        ("share positive, 95 %", span(rho["positive"]["interval"])),
        ("correlation of one more source, 95 %", span(rho["interval"])),
        ("held-out sources inside that interval of the others", rho["held_out"]["sources"]),
    ]
    if rho["earlier"]:
        rows += [
            ("interval of the earlier study; sources inside", f"{span(rho['earlier'])}; {rho['inside_earlier']['sources']}"),
            (
                f"its interval of the mean leakage, {unit}; sources inside",
                f"{span(level['earlier'])}; {level['inside_earlier']['sources']}",
            ),
        ]
    for name, part in level["predictors"].items():
        text = f"{part['held_out']['sources']} inside, width {part['width']:.2f}, error {part['error']:.2f}, R2 {part['r2']:+.2f}"
        rows.append((f"mean leakage of a held-out source from {name}", text + (f", p {part['p_holm']:.2g}" if "p_holm" in part else "")))
    for name in ("closeness", "none"):
        part = pairs[name]
        text = f"{100 * part['coverage']:.1f} % inside (lowest source {100 * part['lowest_source']:.0f} %), width {part['width']:.2f}"
        rows.append((f"its bystanders, {'with closeness' if name == 'closeness' else 'without'}", f"{text}, error {part['error']:.2f}"))
    gain = pairs["gain"]
    rows.append(("squared error saved by closeness", f"{100 * gain['share']:.1f} %, {gain['mean']:+.3f} {span(gain['interval'], 3)}"))
    return rows


def span(interval, decimals=2):
    """ "[low, high]"."""
    return "[{:.{digits}f}, {:.{digits}f}]".format(*interval, digits=decimals)


if __name__ == "__main__":
    run_program(main)
