"""Compare finer measures of leakage with the sampled rate: agreement, reliability, cost, and the correlation of cosine with each."""

import pandas as pd

from persona_leakage.config.blocks.analysis import Bootstraps
from persona_leakage.config.blocks.fields import Names
from persona_leakage.config.blocks.geometry import Layer
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.leakage_measures import MEASURES, compare_measures, measured
from persona_leakage.tables.read import read_pairs


class Settings(Bootstraps):
    """The parts of the config that decide the comparison."""

    sources: Names
    headline_layer: Layer


def cost_of(sampled, forced):
    """Seconds (loading the model included), replies and tokens of sampling and of teacher forcing one state, and how much less it took."""
    sampling = {"seconds": sampled["meta"]["wall_seconds"], "replies": sampled["replies"], "tokens": sampled["tokens"]}
    forcing = {"seconds": forced["meta"]["wall_seconds"], "replies": forced["replies"], "tokens": forced["tokens"]}
    return {"sampling": sampling, "teacher_forcing": forcing, "times_faster": sampling["seconds"] / forcing["seconds"]}


def main(argv=None):
    """Write measures.csv (a row per source and bystander) and measures.json (docs/optional_analyses.md)."""
    parser = new_parser("compare_measures", __doc__, "pairs", "tables", "base-forced", "base-sampled", "table", "output", settings=Settings)
    for option in ("cells", "forced", "sampled"):
        parser.add_argument(f"--{option}", nargs="+", required=True, metavar="PATH", help="of each source, in the order of the settings")
    args = parser.parse_args(argv)
    check_digests([args.pairs], args.tables)
    layer, sources = args.settings.headline_layer, args.settings.sources
    pairs = read_pairs(args.pairs)
    pairs = pairs[pairs["layer"] == layer].reset_index(drop=True)
    scored, forced, sampled = (
        {source: read_json(path, program) for source, path in zip(sources, paths, strict=True)}
        for paths, program in (
            (args.cells, "score_leakage"),
            (args.forced, "teacher_force"),
            (args.sampled, "sample_completions"),
        )
    )
    base = read_json(args.base_forced, "teacher_force")
    for source in sources:
        if forced[source]["meta"]["completions_sha256"] != base["meta"]["completions_sha256"]:
            raise InputError(f"the teacher-forced probabilities of '{source}' and of the base model are of different replies")
    evaluations = {source: scored[source]["personas"] for source in sources}
    cells = {source: forced[source]["personas"] for source in sources}
    result = compare_measures(pairs, evaluations, cells, {"bootstraps": args.settings.bootstraps})
    write_table(args.table, pairs, measured(evaluations, cells, sorted(next(iter(cells[sources[0]].values()))["per_question"])), cells)
    meta = describe_run(
        "compare_measures",
        model=base["meta"]["model"],
        marker_ids=base["meta"]["marker_ids"],
        separator_ids=base["meta"]["separator_ids"],
        join=base["meta"]["join"],
        draws=base["meta"]["draws"],
        detector=scored[sources[0]]["meta"]["detector"],
        table_sha256=sha256_of_file(args.table),
    )
    del meta["wall_seconds"]  # the same tables give the same bytes; benchmarks/ has the time
    costs = {
        "base": cost_of(read_json(args.base_sampled, "sample_completions"), base),
        **{source: cost_of(sampled[source], forced[source]) for source in sources},
    }
    replies = {"read": base["replies"], "cut": base["cut"]}
    write_json(args.output, {"meta": meta, "headline_layer": layer, "replies": replies, "costs": costs, **result})


def write_table(path, pairs, found, cells):
    """measures.csv: each source and bystander with its cosine, all measures, and how many replies were read and had ended."""
    rows = [
        {
            **{key: getattr(pair, key) for key in ("source", "persona", "category", "cosine")},
            **{measure: found[measure][pair.source][pair.persona][0] for measure in MEASURES},
            **{key: cells[pair.source][pair.persona][key] for key in ("n", "ended")},
        }
        for pair in pairs.itertuples()
    ]
    with atomic_path(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n", na_rep="nan")


if __name__ == "__main__":
    run_program(main)
