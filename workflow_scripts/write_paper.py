"""Write a finished experiment up as LaTeX: text, tables, figures, references, and macros that trace each number to its file."""

from pathlib import Path

from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.program_options import new_parser
from persona_leakage.infrastructure.cli import run_program
from persona_leakage.reporting.paper import compile_paper, write_paper


def main(argv=None):
    """Write the files to the folder of --output, and paper.pdf where LaTeX is installed."""
    parser = new_parser("write_paper", __doc__, "results", "output", settings=Block)
    parser.add_argument("--figures", nargs="*", default=[], metavar="PATH", help="figures to show, in this order")
    args = parser.parse_args(argv)
    folder = Path(args.output).parent
    write_paper(args.results, args.figures, folder)
    problem = compile_paper(folder)
    print(f"no {folder}/paper.pdf: {problem}" if problem else f"{folder}/paper.pdf")


if __name__ == "__main__":
    run_program(main)
