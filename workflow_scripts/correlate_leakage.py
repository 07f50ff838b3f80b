"""Correlate cosine with leakage over a pairs table: the workflow's own, or any with the columns that --help lists."""

import sys

from persona_leakage.behaviours.base import CELLS_BY
from persona_leakage.behaviours.training_check import consequence, none_learned
from persona_leakage.config.blocks.analysis import Statistics
from persona_leakage.config.blocks.fields import Seed
from persona_leakage.config.blocks.settings import Headline
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digests, digest_of, read_json, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import LAYER_CONVENTION, describe_run
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.conclusions import conclusion_lines
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN
from persona_leakage.statistics.leakage.summary import analyse
from persona_leakage.tables.question_counts import read_cosines, read_question_counts
from persona_leakage.tables.read import choose_layer, pairs_parser, read_checked_pairs

FROM_EVALUATION = ("model", "engine", "sampling", "seed", "sampling_seed", "behaviour", "detector")


class Settings(Headline, Statistics):
    """The parts of the config that decide the statistics, and the provenance of the result."""

    training_seed: Seed | None = None
    recipe: dict[str, str] | None = None


def main(argv=None):
    """Write correlation.json: what docs/statistics.md explains, for every layer, and a verdict. The same tables give the same bytes."""
    parser = pairs_parser("correlate_leakage", __doc__, settings=Settings)
    parser.add_argument(
        "--base-eval",
        metavar="PATH",
        help="the base model's cells: adds to meta how the replies were sampled",
    )
    parser.add_argument("--question-counts", metavar="PATH", help="question_counts.csv: adds the choice of questions to the uncertainty")
    parser.add_argument(
        "--cosines", metavar="PATH", help="cosines.csv, between all personas: compares the sources with others in their place"
    )
    args = parser.parse_args(argv)
    if args.tables:
        check_digests(filter(None, (args.cosines, args.question_counts)), args.tables)
    table = read_checked_pairs(args)
    headline = choose_layer(table, args)
    base = read_json(args.base_eval, CELLS_BY) if args.base_eval else {"meta": {}}
    matrices = matrices_of(table)
    counts = read_question_counts(args.question_counts, matrices) if args.question_counts else None
    cosines = read_cosines(args.cosines, matrices) if args.cosines else None
    meta = describe_run(
        "correlate_leakage",
        layer_convention=LAYER_CONVENTION,
        bank={"personas": len(matrices.personas), "digest": digest_of(matrices.personas)},
        pairs_sha256=sha256_of_file(args.pairs),
        training_seed=args.settings.training_seed,
        recipe=args.settings.recipe,
        **{key: base["meta"].get(key) for key in FROM_EVALUATION},
    )
    del meta["wall_seconds"]  # the same tables give the same bytes; benchmarks/ has the time
    options = args.settings.model_dump(include=set(Statistics.model_fields))
    result = analyse(table, headline, options, counts, cosines)
    gain = result["outcomes"][LOGPROB_GAIN]
    by_gain = [] if gain["undefined"] else [f"by the gain in log-probability, {warning}" for warning in warnings_of(gain["joint"])]
    for warning in [*warnings_of(result["joint"]), *by_gain]:
        print(f"warning: {warning}", file=sys.stderr)
    write_json(args.output, {"meta": meta, **result})
    print("\n".join([*main_numbers(result), f"written: {args.output}"]))


def warnings_of(joint):
    """Sentences on what falls away from the statistics over all sources, of the block "joint" of a correlation.json."""
    if joint["undefined"]:
        yield f"there are no statistics over all sources: {joint['undefined']}"
    left_out = {} if joint["undefined"] else joint["sources_left_out"]
    for source, reason in left_out.items():
        yield f"source '{source}' takes no part in the statistics over all sources: {reason}"
    if names := joint["bystanders_left_out"]:
        listed = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
        yield f"{len(names)} bystanders are left out of the statistics over all sources, because not every source has them: {listed}"


def main_numbers(result):
    """Lines for a terminal from a finished correlation.json: whether training worked, the headline layer's correlations, the verdict."""
    check, layer = result["training_check"], result["layers"][str(result["headline_layer"])]
    gain = result["outcomes"][LOGPROB_GAIN]
    lines = [block["why"] for block in check.values()]
    lines += [sentence for sentence in [consequence(check)] if sentence]
    lines += [block["sentence"] for sources in result.get("controls", {}).values() for block in sources.values()]
    lines.append(f"Spearman's rho between cosine (layer {result['headline_layer']}) and leakage:")
    rows = [*layer["per_source"].items(), ("all pairs (pooled)", layer["pooled"])]
    width = max(len(name) for name, _ in rows)
    lines += [f"  {name:<{width}}  {describe_rho(block)}" for name, block in rows]
    mean = layer["within_source"]
    if mean["undefined"] is None:
        interval = mean["interval"] and "[{:.2f}, {:.2f}]".format(*mean["interval"])
        lines.append(f"  {'mean of sources':<{width}}  {mean['mean_rho']:+.2f}, 95 % interval {interval or 'unknown'}")
    if none_learned(check):
        return lines
    lines += conclusion_lines(result["verdict"])
    if gain["undefined"] is None:
        lines += ["The same by the second outcome, a gain in nats:", *gain_lines(gain), *conclusion_lines(gain["verdict"])]
    return lines


def gain_lines(gain):
    """A line for each source: its correlation by the second outcome, and how far the two outcomes agree."""
    width = max(map(len, gain["agreement"]))
    for name, block in gain["agreement"].items():
        rho, agreement = ("none" if value is None else f"{value:+.2f}" for value in (block["rho"][LOGPROB_GAIN], block["agreement"]))
        yield f"  {name:<{width}}  {rho}, agreement with the rates {agreement}"
    for name, block in gain["judged_by_it_alone"].items():
        yield f"  {name} is judged by it alone: {block['reason']}"


def describe_rho(block):
    """ "+0.45, p = 0.014, 29 pairs", or why there is none."""
    if block["undefined"]:
        return f"none: {block['undefined']}"
    return f"{block['spearman_rho']:+.2f}, p = {block['spearman_p']:.2g}, {block['n']} pairs"


if __name__ == "__main__":
    run_program(main)
