"""Copy a finished experiment's small files, from which its numbers and figures come, to a folder of their own."""

from pathlib import Path

from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.files import write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.publishing.archive import copy_files


def main(argv=None):
    """Write the copies to the folder of --output, and every file's SHA-256 to --output."""
    parser = new_parser("archive_tables", __doc__, "results", "output")
    parser.add_argument("--files", nargs="+", required=True, metavar="PATH", help="files to copy, all under --results")
    args = parser.parse_args(argv)
    folder = Path(args.output).parent
    files = copy_files(args.results, args.files, folder)
    write_json(args.output, {"meta": describe_run("archive_tables"), "files": files})
    print(f"{len(files)} files, {sum(facts['bytes'] for facts in files.values()) / 1e6:.1f} MB: {folder}")


if __name__ == "__main__":
    run_program(main)
