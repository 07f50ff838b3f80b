"""Fill a write-up's template with the numbers of kept tables (make tables): no number in it is typed by hand."""

import argparse
from pathlib import Path

import jinja2

from persona_leakage.config.old_keys import with_new_keys
from persona_leakage.config.personas import read_yaml
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import atomic_path
from persona_leakage.reporting.closing_table import as_text, result_lines
from persona_leakage.reporting.numbers import MISSING, STYLES, Numbers


def main(argv=None):
    """Write the page."""
    parser = argparse.ArgumentParser(prog="write_up", description=__doc__)
    parser.add_argument("template", help="Markdown with Jinja expressions, such as docs/results/study.md.j2")
    parser.add_argument("tables", help="folder of kept tables, such as docs/results/smollm2")
    parser.add_argument("output", help="page to write, such as docs/results/default.md")
    args = parser.parse_args(argv)
    page = filled(args.template, args.tables, Path(args.output).name)
    with atomic_path(args.output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def filled(template, tables, page):
    """The page's text. InputError if a value is not there, or the template has an error.

    In a template, ``value(file, key, ...)`` is what a JSON file of ``tables`` says, ``show(style, file, key, ...)`` the same
    as text in one of the report's styles, ``config`` the run's config, ``closing_tables`` [(title, text)] of make run,
    ``tables`` the folder's name and ``page`` that of the file.
    """
    if not Path(template).is_file():
        raise InputError(f"{template}: no such file")
    numbers = Numbers(tables)
    config = with_new_keys(read_yaml(Path(tables) / "run_config.yaml")["config"])

    def show(style, file, *keys):
        value = numbers.value(file, *keys)
        return MISSING if value is None else STYLES[style](value)

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True)
    try:
        return environment.from_string(Path(template).read_text(encoding="utf-8")).render(
            page=page,
            tables=Path(tables).name,
            config=config,
            value=numbers.value,
            show=show,
            closing_tables=[(title, as_text(lines)) for title, lines, _ in result_lines(config, tables)],
        )
    except jinja2.TemplateError as error:
        raise InputError(f"{template}: {error}") from None


if __name__ == "__main__":
    run_program(main)
