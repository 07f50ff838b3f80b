"""Compare numbers and choices of negatives: leakage into bystanders that were never negatives, at the source's own rate."""

from itertools import islice

import pandas as pd
from pydantic import Field

from persona_leakage.behaviours.base import CELLS_BY, GAINS_BY
from persona_leakage.config.blocks.analysis import Bootstraps
from persona_leakage.config.blocks.fields import Names
from persona_leakage.config.program_options import new_parser
from persona_leakage.geometry.centroid_files import read_centroids
from persona_leakage.geometry.negatives import closeness_of
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import atomic_path, check_digests, read_json, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.statistics.comparisons.containment import MEASURES, collect, describe_containment

INTERVALS = ("leakage", "relative_leakage", "logit_difference", "gain_difference")


class Settings(Bootstraps):
    """The parts of the config that decide the comparison. conditions: names such as hash4, the experiment's own first."""

    sources: Names
    conditions: list[str] = Field(min_length=1)


def main(argv=None):
    """Write containment.json, and containment.csv with a row for each condition and source."""
    parser = new_parser("compare_containment", __doc__, "base-eval", "centroids", "centroids-meta", "table", "output", settings=Settings)
    for option in ("cells", "manifests", "metrics"):
        parser.add_argument(f"--{option}", nargs="+", required=True, metavar="PATH", help="of each condition's sources, in their order")
    parser.add_argument("--gains", nargs="*", default=[], metavar="PATH", help="the same of the second outcome, if measured")
    args = parser.parse_args(argv)
    manifests = by_condition(args.settings, [read_json(path, "build_training_set") for path in args.manifests])
    metrics = by_condition(args.settings, [read_json(path, "train_adapter") for path in args.metrics])
    cells = by_condition(args.settings, [read_json(path, CELLS_BY)["personas"] for path in args.cells])
    gains = by_condition(args.settings, [read_json(path, GAINS_BY)["personas"] for path in args.gains])
    negatives = {name: {source: block["negatives"] for source, block in blocks.items()} for name, blocks in manifests.items()}
    data = collect(cells, read_json(args.base_eval, CELLS_BY)["personas"], gains, negatives)
    result = describe_containment(data, args.settings.bootstraps)
    check_digests([args.centroids], args.centroids_meta)
    content = read_centroids(args.centroids)
    trained = {
        name: {
            source: {
                "negatives": names,
                "cosines": cosines_to(content, source, names),
                "rows": {kind: manifests[name][source]["rows"][kind]["rows"] for kind in ("positive", "negative")},
                "steps": metrics[name][source]["steps"],
            }
            for source, names in blocks.items()
        }
        for name, blocks in negatives.items()
    }
    write_json(args.output, {"meta": describe_run("compare_containment", layer=content["layer"]), "trained": trained, **result})
    with atomic_path(args.table) as temporary:
        pd.DataFrame(table_rows(trained, result)).to_csv(temporary, index=False, lineterminator="\n", na_rep="nan")


def by_condition(settings, contents):
    """{condition: {source: content}} of contents that are in the order of conditions, then of sources; {} without contents."""
    contents = iter(contents)
    found = {name: dict(zip(settings.sources, islice(contents, len(settings.sources)), strict=False)) for name in settings.conditions}
    return found if all(found.values()) else {}


def cosines_to(content, source, names):
    """Cosines of the negatives to their source in the base model, rounded."""
    cosines = closeness_of(content["personas"], content["centroids"], [source, *names])
    return [round(float(value), 6) for value in cosines[0, 1:]]


def table_rows(trained, result):
    """Rows of containment.csv: of each condition and source, then of their mean, with 95 % intervals over bystanders."""
    for condition, sources in trained.items():
        counts = {len(block["negatives"]) for block in sources.values()}
        measured = (result["per_condition"] or {}).get(condition, {})
        for source, block in sources.items():
            cosines = block["cosines"]
            facts = {
                "negatives": " ".join(block["negatives"]),
                "number": len(block["negatives"]),
                "mean_cosine": sum(cosines) / len(cosines) if cosines else None,
                "rows": sum(block["rows"].values()),
                "steps": block["steps"],
            }
            yield {"condition": condition, "source": source, **facts, **{name: measured.get(source, {}).get(name) for name in MEASURES}}
        mean = measured.get("mean", {})
        steps = [block["steps"] for block in sources.values()]
        facts = {"number": counts.pop() if len(counts) == 1 else None, "steps": sum(steps) / len(steps)}
        row = {"condition": condition, "source": "mean", **facts, **{name: mean.get(name) for name in MEASURES}}
        for name in INTERVALS:
            row[f"{name}_low"], row[f"{name}_high"] = mean.get(f"{name}_interval") or (None, None)
        yield row


if __name__ == "__main__":
    run_program(main)
