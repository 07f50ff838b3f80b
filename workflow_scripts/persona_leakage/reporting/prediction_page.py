"""The page of predictions."""

from pathlib import Path

import pandas as pd

from persona_leakage.reporting.html_page import caption_of, embed_figure, page_template
from persona_leakage.reporting.numbers import Numbers


def render_predictions(predictions, table, figure):
    """The page as text, from the paths of predictions.json, predictions.csv and the png."""
    path = Path(predictions)
    numbers, rows = Numbers(path.parent), pd.read_csv(table)
    sources = numbers.value(path.name, "sources")
    return page_template("predictions.html.j2").render(
        percent=lambda value: "–" if pd.isna(value) else f"{100 * value:.0f} %",
        numbers=numbers,
        file=path.name,
        facts=numbers.files[path.name],
        tables={source: rows[rows["source"] == source].to_dict("records") for source in sources},
        figure=embed_figure(figure),
        caption=caption_of("predictions"),
    )
