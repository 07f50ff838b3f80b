"""The page of several experiments, in the style of the report."""

from pathlib import Path

import jinja2
from markupsafe import Markup

from persona_leakage.report import PAGE, embed_figure
from persona_leakage.report_numbers import Numbers


def render_comparison(comparison, figure):
    """The page as text. comparison: path of comparison.json; figure: path of the png."""
    path = Path(comparison)
    numbers = Numbers(path.parent)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(PAGE))
    return environment.get_template("compare.html.j2").render(
        numbers=numbers,
        file=path.name,
        runs=numbers.value(path.name, "runs"),
        left_out=numbers.value(path.name, "left_out"),
        sources=list(dict.fromkeys(name for run in numbers.value(path.name, "runs") for name in run["per_source"])),
        panels=len({run["panel"] for run in numbers.value(path.name, "runs")}),
        figure=embed_figure(figure),
        caption=(PAGE / "captions/comparison.rst").read_text(encoding="utf-8").strip(),
        style=Markup((PAGE / "style.css").read_text(encoding="utf-8")),
    )
