"""The page of predictions."""

from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from persona_leakage.reporting.numbers import Numbers
from persona_leakage.reporting.report import PAGE, embed_figure


def render_predictions(predictions, table, figure):
    """The page as text, from the paths of predictions.json, predictions.csv and the png."""
    path = Path(predictions)
    numbers, rows = Numbers(path.parent), pd.read_csv(table)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(PAGE))
    environment.filters["percent"] = lambda value: "–" if pd.isna(value) else f"{100 * value:.0f} %"
    sources = numbers.value(path.name, "sources")
    return environment.get_template("predictions.html.j2").render(
        numbers=numbers,
        file=path.name,
        facts=numbers.files[path.name],
        tables={source: rows[rows["source"] == source].to_dict("records") for source in sources},
        figure=embed_figure(figure),
        caption=(PAGE / "captions/predictions.rst").read_text(encoding="utf-8").strip(),
        style=Markup((PAGE / "style.css").read_text(encoding="utf-8")),
    )
