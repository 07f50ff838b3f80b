"""Write the table of docs/configuration.md and the JSON schema for editors from the typed config (make docs). No rule calls it."""

import argparse
import json
from pathlib import Path

from persona_leakage.config.experiment import complete_config, read_config
from persona_leakage.config.reference import editor_schema, key_rows
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]
PAGE, SCHEMA = "docs/configuration.md", "resources/schemas/config.schema.json"
BEGIN, END = "<!-- table: written by make docs -->", "<!-- end of table -->"
HEADER = ["key", "type", "default", "meaning"]


def main(argv=None):
    """Write both files; of the page, only the table changes."""
    parser = argparse.ArgumentParser(prog="write_configuration", description=__doc__)
    parser.add_argument("--root", default=ROOT, type=Path, metavar="PATH", help="the project's folder (default: this one)")
    root = parser.parse_args(argv).root
    for name, text in contents(root).items():
        with atomic_path(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"written: {name}")


def contents(root):
    """{file: text} of both files as they should be; the page is taken as it stands but for its table."""
    config = complete_config(read_config(root / "config.yaml"))
    page = (root / PAGE).read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{PAGE}: must hold the lines {BEGIN} and {END}; restore them")
    return {
        PAGE: f"{before}{BEGIN}\n{table(key_rows(config))}\n{END}{after}",
        SCHEMA: json.dumps(editor_schema(), indent=1, ensure_ascii=False) + "\n",
    }


def table(rows):
    """The Markdown table of the keys."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADER, ["---"] * len(HEADER), *rows))


if __name__ == "__main__":
    run_program(main)
