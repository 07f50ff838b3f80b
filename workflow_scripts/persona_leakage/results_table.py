"""The closing table of a run: one line for each source, from the small result files."""

from itertools import product
from pathlib import Path

from tabulate import tabulate

from persona_leakage.files import read_json

HEADERS = ["source", "rate", "bystanders", "above source", "rho", "p", "N", "short replies", "tokens", "seconds"]


def result_lines(config, home):
    """[(title, lines, verdict)] of the experiment whose results lie under ``home``, one for each question set and training seed.

    A line has the columns HEADERS: the source's rate, its bystanders' mean rate, how many of them
    exceed it, Spearman rho and p over N bystanders at the headline layer ("-" where undefined), the share of replies under
    12 tokens, the mean reply length in tokens, and the seconds of training and sampling. The first
    line is the base model. verdict: that of correlation.json.
    """
    home, tables = Path(home), []
    for use, seed in product(config["questions"]["evaluation"], config["training"]["seeds"]):
        questions = use["set"]
        correlation = read_json(home / f"analysis/{questions}/seed{seed}/correlation.json")
        layer = correlation["headline_layer"]
        lines = [base_line(read_json(home / f"evaluation/{questions}/base/summary.json"))]
        for source, block in correlation["layers"][str(layer)]["per_source"].items():
            summary = read_json(home / f"evaluation/{questions}/{source}/seed{seed}/summary.json")
            metrics = read_json(home / f"training/{source}/seed{seed}/metrics.json")
            seconds = metrics["meta"]["wall_seconds"] + summary["wall_seconds"]
            lines.append(source_line(source, summary, block, seconds))
        tables.append(
            (f"{config['experiment']}, questions '{questions}', training seed {seed}, block {layer}", lines, correlation["verdict"])
        )
    return tables


def as_text(lines):
    """The lines as a table under HEADERS, for a terminal."""
    return tabulate(lines, headers=HEADERS, disable_numparse=True, stralign="right")


def base_line(summary):
    """The control's line: no source, the rate is over all personas."""
    rate = percent(summary["mean_bystander_rate"])
    return ["(base model)", "", rate, "", "", "", "", percent(summary["short_share"]), mean(summary), round(summary["wall_seconds"])]


def source_line(source, summary, block, seconds):
    """One source's line."""
    rho, p = ("-", "-") if block["undefined"] else (f"{block['spearman_rho']:.2f}", f"{block['spearman_p']:.1g}")
    return [
        source,
        percent(summary["source_rate"]),
        percent(summary["mean_bystander_rate"]),
        summary["bystanders_above_source"],
        rho,
        p,
        block["n"],
        percent(summary["short_share"]),
        mean(summary),
        round(seconds),
    ]


def percent(share):
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def mean(summary):
    """The mean reply length with one decimal."""
    return f"{summary['mean_tokens']:.1f}"
