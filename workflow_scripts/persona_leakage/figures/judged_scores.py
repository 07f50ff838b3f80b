"""Two scores of every judged reply, one panel for the base model and for each source."""

import numpy as np

from persona_leakage.config.judge_prompts import read_prompts
from persona_leakage.figures.style import BLUE, COLUMNS, panels, words
from persona_leakage.infrastructure.files import read_json, read_jsonl_gz

JITTER = 0.006  # of the scale, so that equal scores do not hide each other


def add_inputs(parser):
    parser.add_argument("--judgements", nargs="+", required=True, metavar="PATH", help="judgements.jsonl.gz of each state")
    parser.add_argument("--summaries", nargs="+", required=True, metavar="PATH", help="summary.json of the same states")
    parser.add_argument("--prompts", required=True, metavar="PATH", help="the judge's prompts, which have the scales")


def draw(args):
    """A dot for each reply that has both scores: the deciding one against the first required one, with their thresholds."""
    metas = [read_json(path, "score_leakage") for path in args.summaries]
    block, scales = metas[0]["meta"]["behaviour"], read_prompts(args.prompts)
    names = (next(iter(block["require"])), block["score"])
    figure, axes = panels(len(metas), width=2.8, sharey=True)
    generator = np.random.default_rng(0)
    for position, (axis, path, summary) in enumerate(zip(axes, args.judgements, metas, strict=True)):
        records = [each["scores"] for each in read_jsonl_gz(path)]
        points = np.array(
            [[each[name]["value"] for name in names] for each in records if all(each[name]["value"] is not None for name in names)]
        )
        spans = np.array([scales[name].scale[1] - scales[name].scale[0] for name in names])
        points = points.reshape(-1, 2) + generator.normal(scale=JITTER, size=(len(points), 2)) * spans
        axis.plot(*points.T, ".", color=BLUE, markersize=3, alpha=0.3)
        axis.axvline(block["require"][names[0]], color="black", linewidth=0.8)
        axis.axhline(block["threshold"], color="black", linewidth=0.8)
        axis.set_title(words(summary["source"] or "base model"))
        axis.set_xlabel(words(names[0]))
        if position % COLUMNS == 0:
            axis.set_ylabel(words(names[1]))
    return figure
