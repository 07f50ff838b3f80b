"""Repeat the main correlation of a pairs table under other choices: without some personas, at other layers, with other statistics."""

from persona_leakage.config.blocks.analysis import Bootstraps
from persona_leakage.config.blocks.settings import Headline
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import check_digests, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.leakage.robustness import describe_robustness
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import choose_layer, pairs_parser, read_checked_pairs


class Settings(Headline, Bootstraps):
    """The parts of the config that decide the checks."""


def main(argv=None):
    """Write robustness.json: one row per check, as docs/statistics.md explains. The same tables give the same bytes.

    Each optional file adds checks: of the choice of questions, of the mean that is taken off, of questions that were not evaluated.
    """
    files = ("question-counts", "centroids", "centroids-meta", "held-out-centroids", "held-out-meta")
    parser = pairs_parser("check_robustness", __doc__, settings=Settings, optional=files)
    args = parser.parse_args(argv)
    if args.tables and args.question_counts:
        check_digests([args.question_counts], args.tables)
    table = read_checked_pairs(args)
    layer = choose_layer(table, args)
    counts = read_question_counts(args.question_counts, matrices_of(table)) if args.question_counts else None
    centroids = centroids_of("--centroids", args.centroids, args.centroids_meta, layer)
    held_out = centroids_of("--held-out-centroids", args.held_out_centroids, args.held_out_meta, layer)
    result = describe_robustness(table, layer, args.settings.bootstraps, counts, centroids, held_out)
    meta = describe_run("check_robustness", pairs_sha256=sha256_of_file(args.pairs))
    del meta["wall_seconds"]  # the same tables give the same bytes; benchmarks/ has the time
    write_json(args.output, {"meta": meta, **result})
    print("\n".join([*lines_of(result), f"written: {args.output}"]))


def centroids_of(option, path, meta, layer):
    """{"personas", "centroids" [personas, hidden], ...} of a centroid file, or None without one; InputError if it is of another layer."""
    if path is None:
        return None
    if meta:
        check_digests([path], meta)
    content = read_centroids(path)
    if content["layer"] != layer:
        raise InputError(f"{option}: {path} is of layer {content['layer']}; the headline layer is {layer}")
    return content


def lines_of(result):
    """Lines for a terminal: a row per check, as in the report."""
    width = max(len(check["label"]) for check in result["checks"])
    yield f"{'':<{width}}  sources  bystanders  estimate  95 % interval    minus the main one"
    for check in result["checks"]:
        if check["undefined"]:
            yield f"{check['label']:<{width}}  not computed: {check['undefined']}"
            continue
        spread = check["interval"] or check["range"]
        ends = "[{:+.2f}, {:+.2f}]".format(*spread) if spread else "none"
        note = " (range)" if check["range"] else ""
        less = "" if check["difference"] is None else f"{check['difference']:+.2f}"
        numbers = f"{check['n_sources']:>7}  {check['n_bystanders']:>10}  {check['estimate']:>+8.2f}"
        yield f"{check['label']:<{width}}  {numbers}  {ends:<15}  {less}{note}"


if __name__ == "__main__":
    run_program(main)
