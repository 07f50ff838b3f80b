"""What all pages share: templates, embedded figures, and tables that fit on a phone, a screen and a sheet of paper."""

import base64
import io
import re
from pathlib import Path

import jinja2
from markupsafe import Markup
from PIL import Image

from persona_leakage.figures.style import DPI, words

PAGE = Path(__file__).parent / "page"
COLUMNS = 7  # of a table; the others are folded away
COLOURS = 256  # of a figure in a page: a third of the bytes
ROW, CELL = re.compile(r"<tr>(.*?)</tr>", re.S), re.compile(r"<t[hd]([^>]*)>(.*?)</t[hd]>", re.S)


def page_template(name):
    """A template of the folder page/, with the filters ``words``, ``with_value`` and ``table`` and the style sheet as ``style``."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(PAGE))
    environment.filters |= {"words": words, "table": fit_table}
    environment.filters["with_value"] = lambda text, name, value: Markup(text).format(**{name: value})
    environment.globals["style"] = Markup((PAGE / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(name)


def caption_of(figure):
    """The caption of a figure."""
    return (PAGE / f"captions/{figure}.rst").read_text(encoding="utf-8").strip()


def embed_figure(path):
    """A PNG in COLOURS colours as {"uri": data URI, "width": its print width in CSS pixels (96 per inch)}."""
    content = io.BytesIO()
    with Image.open(path) as image:
        width = image.width
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return {"uri": "data:image/png;base64," + base64.b64encode(content.getvalue()).decode("ascii"), "width": round(width * 96 / DPI)}


def fit_table(rows, title, keys=1, show=None):
    """An HTML table of at most COLUMNS columns from <tr> elements (first: the head); further columns are folded below it.

    keys: columns that name a row, repeated in each part. show: the columns on view in their order (default: the first ones). A cell
    that spans columns is the last of its row, and only in the part on view.
    """
    head, *body = [CELL.findall(row) for row in ROW.findall(rows)]
    shown = list(show or range(min(COLUMNS, len(head))))
    folded = [column for column in range(len(head)) if column not in shown]
    step = COLUMNS - keys
    parts = [[*range(keys), *folded[start : start + step]] for start in range(0, len(folded), step)]
    table = one_table(head, body, shown, keys, f"<caption>{title}</caption>")
    if parts:
        more = ", ".join(dict.fromkeys(plain_title(head[column]) for column in folded))
        inner = "".join(one_table(head, [row for row in body if len(row) == len(head)], part, keys) for part in parts)
        table += f"<details><summary>More columns: {more}</summary>{inner}</details>"
    return Markup(f'<div class="table">{table}</div>')


def one_table(head, body, columns, keys, caption=""):
    """Some columns as a <table>: heads with a scope, cells with the name of their column, which a phone shows.

    The head of a column of words, as its cells say, is aligned like them.
    """
    words = {column: ' class="words"' for row in body if len(row) == len(head) for column in columns if "words" in row[column][0]}
    titles = "".join(f'<th scope="col"{words.get(column, "")}>{head[column][1]}</th>' for column in columns)
    lines = []
    for row in body:
        cells = []
        spans = len(row) < len(head)
        for place, column in enumerate(range(len(row)) if spans else columns):
            attributes, content = row[column]
            if spans and column == len(row) - 1:
                attributes = re.sub(r'colspan="\d+"', f'colspan="{len(columns) - place}"', attributes)
            tag, scope = ("th", ' scope="row"') if column < keys else ("td", f' data-label="{plain_title(head[column])}"')
            cells.append(f"<{tag}{scope}{attributes}>{content}</{tag}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{caption}<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def plain_title(cell):
    """The head of a column without markup."""
    return re.sub(r"<[^>]*>", "", cell[1])
