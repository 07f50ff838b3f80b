"""Correlate leakage with the cosines of every swept layer and token position, and report which predicts best."""

from pathlib import Path

import numpy as np

from persona_leakage.config.blocks.analysis import Resamples
from persona_leakage.config.blocks.geometry import Layer
from persona_leakage.config.program_options import new_parser
from persona_leakage.geometry.centroid_files import check_centroids
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import check_digests, write_json
from persona_leakage.infrastructure.provenance import LAYER_CONVENTION, describe_run
from persona_leakage.statistics.comparisons.layer_sweep import analyse_sweep, swept_matrices
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.tables.question_counts import read_question_counts
from persona_leakage.tables.read import read_pairs


class Settings(Resamples):
    """The parts of the config that decide the comparison of layers and positions."""

    headline_layer: Layer


def main(argv=None):
    """Write sweep.json. The same files give the same bytes."""
    parser = new_parser("correlate_sweep", __doc__, "pairs", "tables", "question-counts", "sweep-meta", "output", settings=Settings)
    parser.add_argument("--sweep", nargs="+", required=True, metavar="PATH", help="sweep_{position}.npz files, the headline first")
    args = parser.parse_args(argv)
    check_digests([args.pairs, args.question_counts], args.tables)
    check_digests(args.sweep, args.sweep_meta)
    headline_layer = args.settings.headline_layer
    table = read_pairs(args.pairs)
    matrices = matrices_of(table[table["layer"] == headline_layer])
    vectors, positions = {}, []
    for path in args.sweep:
        with np.load(path, allow_pickle=False) as arrays:
            names, centroids = arrays["personas"].tolist(), arrays["centroids"].astype(np.float64)
            position, layers = str(arrays["position"]), arrays["layers"].tolist()
        check_centroids(path, names, centroids)
        if missing := sorted({*matrices.personas} - {*names}):
            raise InputError(f"{path}: has no centroid of {', '.join(missing)}; {args.pairs} has")
        positions.append(position)
        vectors |= {(position, layer): centroids[index] for index, layer in enumerate(layers)}
    counts = read_question_counts(args.question_counts, matrices)
    options = args.settings.model_dump(include=set(Resamples.model_fields))
    result = analyse_sweep(*swept_matrices(matrices, names, vectors), (positions[0], headline_layer), options, counts)
    meta = describe_run("correlate_sweep", layer_convention=LAYER_CONVENTION, files=[Path(path).name for path in args.sweep])
    del meta["wall_seconds"]  # the same files give the same bytes; benchmarks/ has the time
    write_json(args.output, {"meta": meta, **result})


if __name__ == "__main__":
    run_program(main)
