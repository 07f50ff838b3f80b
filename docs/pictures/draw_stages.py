"""Draw docs/pictures/stages.svg, the diagram of README: sources as rows, stages as columns, a box for each file.

python docs/pictures/draw_stages.py
"""

from pathlib import Path

PICTURE = Path(__file__).parent / "stages.svg"
SOURCES = ("villain", "comedian", "assistant")
STAGES = ("Training data", "Training", "Sampling", "Measurement", "Statistics", "Figures, report")
# Snakemake targets, with the first and last stage that each asks for.
TARGETS = (("adapters", 0, 1), ("evaluations, centroids", 2, 3), ("correlations", 4, 4), ("figures, report", 5, 5))
# Files of a source and of the base model as (stage, name, what it holds); names as in rules/, here with the default's headline layer.
OF_SOURCE = (
    (0, "train.jsonl.gz", "token ids and labels"),
    (1, "adapter", "LoRA weights"),
    (2, "completions.jsonl.gz", "replies of all personas"),
    (3, "marker_eval.json", "marker rates"),
)
POOL = (0, "pool.jsonl.gz", "base answers")
CONTROL = ((2, "completions.jsonl.gz", "control replies"), (3, "marker_eval.json", "control rates"))
GEOMETRY = (3, "centroids_layer21.pt", "mean hidden states")
PAIRS = (4, "pairs.csv", "cosine and leakage")
STATISTICS = (4, "correlation.json", "tests and conclusions")
FIGURE = (5, "scatter.pdf", "and other figures")
REPORT = (5, "index.html", "one file to share")

WIDTH, HEIGHT = 1010, 440
LEFT, PITCH, BOX_WIDTH, BOX_HEIGHT = 118, 149, 135, 42
ROWS = (104, 168, 232)  # upper edges of the sources' boxes, in pixels
BASE, BASE_GEOMETRY = 310, 362
BLUE, GREY, ORANGE, LINE = "#e3eef7", "#eeeeee", "#fdebdc", "#555555"


def text(x, y, words, size=12, **attributes):
    """A line of text, its middle at x unless text_anchor says otherwise."""
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in {"text_anchor": "middle", **attributes}.items())
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{more}>{words}</text>'


def left_of(stage):
    """The left edge of a stage's boxes."""
    return LEFT + stage * PITCH


def box(file, y, colour):
    """A file: its name and what it holds."""
    stage, name, holds = file
    x, middle = left_of(stage), left_of(stage) + BOX_WIDTH / 2
    return [
        f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="5" fill="{colour}" stroke="#999999"/>',
        text(middle, y + 18, name, 12),
        text(middle, y + 33, holds, 10.5, fill="#444444"),
    ]


def line(*points, arrow=True):
    """A path through points, with an arrowhead at its end."""
    path = "M" + " L".join(f"{x:g},{y:g}" for x, y in points)
    head = ' marker-end="url(#head)"' if arrow else ""
    return f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="1.3"{head}/>'


def headings():
    """Names of the stages, and under them the Snakemake target of their files."""
    parts = [text(left_of(stage) + BOX_WIDTH / 2, 28, name, 14, font_weight="bold") for stage, name in enumerate(STAGES)]
    for name, first, last in TARGETS:
        start, end = left_of(first), left_of(last) + BOX_WIDTH
        parts += [
            f'<path d="M{start},44 L{end},44" stroke="#bbbbbb" stroke-width="2"/>',
            text((start + end) / 2, 62, f"snakemake {name}" if last > first else name, 11.5, fill="#666666", font_family="monospace"),
        ]
    return parts


def source_rows():
    """Each source's files from left to right, and the base answers that all training rows are built from."""
    parts = []
    for name, y in zip(SOURCES, ROWS, strict=True):
        middle = y + BOX_HEIGHT / 2
        parts.append(text(12, middle + 5, name, 13, text_anchor="start", font_weight="bold"))
        for file in OF_SOURCE:
            parts += box(file, y, BLUE)
        for stage in range(3):
            parts.append(line((left_of(stage) + BOX_WIDTH, middle), (left_of(stage + 1) - 1, middle)))
        parts.append(line((left_of(3) + BOX_WIDTH, middle), (left_of(4) - 9, middle), arrow=False))
        parts.append(line((LEFT - 12, middle), (LEFT - 1, middle)))
    middle = BASE + BOX_HEIGHT / 2
    parts.append(line((LEFT, middle), (LEFT - 12, middle), (LEFT - 12, ROWS[0] + BOX_HEIGHT / 2), arrow=False))
    return parts


def base_row():
    """The files of the base model, without any adapter."""
    middle = BASE + BOX_HEIGHT / 2
    parts = [
        text(12, middle, "base model", 13, text_anchor="start", font_weight="bold"),
        text(12, middle + 16, "no adapter", 10.5, text_anchor="start", fill="#444444"),
        *box(POOL, BASE, GREY),
        *box(GEOMETRY, BASE_GEOMETRY, GREY),
    ]
    for file in CONTROL:
        parts += box(file, BASE, GREY)
    parts.append(line((left_of(2) + BOX_WIDTH, middle), (left_of(3) - 1, middle)))
    return parts


def joined_columns():
    """What all sources share: the scores and the geometry meet in one table."""
    bus, gap = left_of(4) - 9, BOX_HEIGHT / 2
    top, bottom = ROWS[0] + gap, BASE_GEOMETRY + gap
    centre, last = left_of(4) + BOX_WIDTH / 2, left_of(5) + BOX_WIDTH / 2
    parts = [line((bus, bottom), (bus, top), (left_of(4) - 1, top))]
    parts += [line((left_of(3) + BOX_WIDTH, y + gap), (bus, y + gap), arrow=False) for y in (BASE, BASE_GEOMETRY)]
    for file, y in ((PAIRS, ROWS[0]), (STATISTICS, ROWS[1]), (FIGURE, ROWS[0]), (REPORT, ROWS[2])):
        parts += box(file, y, ORANGE)
    middle = ROWS[1] + gap
    return [
        *parts,
        line((left_of(4) + BOX_WIDTH, top), (left_of(5) - 1, top)),
        line((centre, ROWS[0] + BOX_HEIGHT), (centre, ROWS[1] - 1)),
        line((left_of(4) + BOX_WIDTH, middle), (last, middle), (last, ROWS[0] + BOX_HEIGHT + 1)),
        line((last, middle), (last, ROWS[2] - 1)),
    ]


def drawing():
    """The picture's text."""
    note = "Every box is a file that Snakemake tracks. A change rebuilds only the boxes that depend on it."
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif">',
        "<title>Sources by stages: the files of the default experiment</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{LINE}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *headings(),
        *source_rows(),
        f'<path d="M12,292 L{left_of(3) + BOX_WIDTH},292" stroke="#dddddd" stroke-dasharray="4 4"/>',
        *base_row(),
        *joined_columns(),
        text(12, 428, note, 11.5, text_anchor="start", fill="#666666"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(drawing(), encoding="utf-8")
