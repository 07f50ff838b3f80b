"""One look for all figures: sizes, fonts, colours that colour-blind readers can tell apart."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

from persona_leakage.files import atomic_path

# Okabe and Ito (2008), "Color universal design".
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
FORMATS = ("pdf", "png", "svg")

plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "persona-leakage",
    }
)


def save_figure(figure, path):
    """Write ``figure`` beside ``path`` as pdf, png and svg, without time stamps, and close it."""
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
    for kind in FORMATS:
        with atomic_path(Path(path).with_suffix(f".{kind}")) as temporary:
            figure.savefig(temporary, format=kind, metadata=undated[kind], bbox_inches="tight")
    plt.close(figure)
