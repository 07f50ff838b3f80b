"""Keep the centroids of a panel in one small file in its study's folder, so that later predictions need not compute them."""

from persona_leakage.config.program_options import new_parser
from persona_leakage.geometry.centroid_files import read_centroids, write_panel
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import check_digests


def main(argv=None):
    """Write panel.npz."""
    parser = new_parser("keep_panel", __doc__, "meta", "output")
    parser.add_argument("--centroids", nargs="+", required=True, metavar="PATH", help="centroid files, one per layer")
    args = parser.parse_args(argv)
    check_digests(args.centroids, args.meta)
    contents = [read_centroids(path, "position", "model") for path in args.centroids]
    layers = {content["layer"]: content for content in sorted(contents, key=lambda content: content["layer"])}
    write_panel(args.output, layers, contents[0]["position"], contents[0]["model"])


if __name__ == "__main__":
    run_program(main)
