"""Join cosines and leakage into one tidy table: a row per layer, source and bystander."""

import torch

from persona_leakage.errors import run_program
from persona_leakage.files import atomic_path, read_json
from persona_leakage.options import new_parser
from persona_leakage.pairs import tabulate_pairs


def main(argv=None):
    """Write pairs.csv."""
    parser = new_parser("tabulate_pairs", __doc__, "base-eval", "output")
    parser.add_argument("--centroids", nargs="+", required=True, metavar="PATH", help="centroid files, one per layer")
    parser.add_argument("--marker-evals", nargs="+", required=True, metavar="PATH", help="marker_eval.json of each source")
    parser.add_argument("--manifests", nargs="+", required=True, metavar="PATH", help="training manifest of each source")
    args = parser.parse_args(argv)
    sources = args.settings["sources"]
    layers = {}
    for path in args.centroids:
        content = torch.load(path, weights_only=True)
        layers[content["layer"]] = {**content, "centroids": content["centroids"].numpy()}
    evaluations = {source: read_json(path)["personas"] for source, path in zip(sources, args.marker_evals, strict=True)}
    negatives = {source: read_json(path)["negatives"] for source, path in zip(sources, args.manifests, strict=True)}
    table = tabulate_pairs(layers, evaluations, read_json(args.base_eval)["personas"], negatives)
    with atomic_path(args.output) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    run_program(main)
