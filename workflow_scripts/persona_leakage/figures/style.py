"""One look for all figures: sizes, fonts, colours that colour-blind readers can tell apart."""

import io
import warnings
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt

from persona_leakage.figures.fonts import use_fonts_for
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import atomic_path
from persona_leakage.infrastructure.visible_text import visible_text

# Okabe and Ito (2008), "Color universal design".
BLUE, ORANGE, GREY, GREEN = "#0072B2", "#D55E00", "#7F7F7F", "#009E73"
# Paul Tol's "muted" scheme (2021) and black: as many as the study has categories.
PALETTE = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
COLUMNS = 3
FORMATS = ("pdf", "png", "svg")
DPI = 200  # of the png

matplotlib.rcdefaults()  # whatever the user's matplotlibrc says: the same tables give the same figure
plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.dpi": 100,
        "savefig.dpi": DPI,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "persona-leakage",
    }
)


def save_figure(figure, path):
    """Write ``figure`` next to ``path`` as pdf, png and svg, without time stamps, and close it."""
    if Path(path).suffix[1:] not in FORMATS:
        raise InputError(f"--output: {path}: the ending must be one of {', '.join(FORMATS)}; all three are written")
    use_fonts_for(figure)
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    for kind in FORMATS:
        drawn = io.BytesIO()  # matplotlib's writers hide a full disk behind errors of their own
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # use_fonts_for has said it, once
            figure.savefig(drawn, format=kind, metadata=undated[kind], bbox_inches="tight")
        with atomic_path(Path(path).with_suffix(f".{kind}")) as temporary:
            temporary.write_bytes(drawn.getbuffer())
    plt.close(figure)


def panels(number, width=3.3, height=3.1, columns=COLUMNS, **options):
    """(figure, axes [number]) on a grid of ``columns``; sizes of a panel in inches."""
    columns = min(number, columns)
    rows = -(-number // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained", **options)
    for axis in axes.flat[number:]:
        axis.set_visible(False)
    if options.get("sharex"):
        for index in range(max(0, number - columns), number):
            axes.flat[index].tick_params(labelbottom=True)
    return figure, list(axes.flat[:number])


def style_of(names):
    """{name: (colour, shape)}: no two of up to 132 names share both."""
    return {name: (PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]) for index, name in enumerate(names)}


def words(name):
    """A persona's or category's name as it is read, for matplotlib, to which a bare $ begins a formula."""
    return visible_text(name.replace("_", " ")).replace("$", r"\$")
