"""Fill the template of a page of results with numbers from archived tables (make tables).

No rule calls this program.
"""

import argparse
from pathlib import Path

import jinja2

from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path
from persona_leakage.reporting.numbers import MISSING, STYLES, Numbers


def main(argv=None):
    """Write the page.

    In a template, ``value(file, key, ...)`` is a value of a JSON file of the tables, ``show(style, file, key, ...)`` the same as text
    in one of the report's styles; ``exists(file)`` says whether the tables have a file. ``by_seed(style, key, ...,
    file="correlation.json")`` is the list of these texts, one for each training seed.
    """
    parser = argparse.ArgumentParser(prog="write_up", description=__doc__)
    parser.add_argument("template", help="Markdown with Jinja expressions, such as docs/results/smollm2.md.j2")
    parser.add_argument("tables", help="folder of archived tables, such as docs/results/smollm2_study")
    parser.add_argument("output", help="page to write, such as docs/results/smollm2.md")
    args = parser.parse_args(argv)
    numbers, config = Numbers(args.tables), with_new_keys(read_yaml(Path(args.tables) / "run_config.yaml")["config"])

    def show(style, file, *keys):
        value = numbers.value(file, *keys)
        return MISSING if value is None else STYLES[style](value)

    def by_seed(style, *keys, file="correlation.json"):
        return [show(style, f"analysis/evaluation/seed{seed}/{file}", *keys) for seed in config["training"]["seeds"]]

    if not Path(args.template).is_file():
        raise InputError(f"{args.template}: no such file")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True)
    try:
        page = environment.from_string(Path(args.template).read_text(encoding="utf-8")).render(
            config=config,
            value=numbers.value,
            show=show,
            by_seed=by_seed,
            exists=lambda file: (Path(args.tables) / file).is_file(),
        )
    except (jinja2.TemplateError, TypeError) as error:  # TypeError: a value of the tables is missing (null) or no number
        raise InputError(f"{args.template}: cannot be filled from {args.tables}: {error}") from None
    with atomic_path(args.output) as temporary:
        temporary.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    run_program(main)
