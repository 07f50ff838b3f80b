"""The table that a run prints at its end: the training check and one line for each source, from the small result files."""

from itertools import product
from pathlib import Path

from tabulate import tabulate

from persona_leakage.behaviours.training_check import advice, consequence, unlearned_sources
from persona_leakage.infrastructure.files import read_json
from persona_leakage.statistics.leakage.outcomes import LOGPROB_GAIN, RATE

OUTCOME_HEADERS = ["source", "own gain", "bystanders", "rho", "rho of rates", "agreement"]
TRAINING_HEADERS = ["source", "learned", "own rate", "95 % CI", "base model", "cut", "refused", "short", "runaway"]
HEADERS = ["source", "rate", "bystanders", "above source", "rho", "p", "N", "short replies", "tokens", "seconds"]


def training_check(home, questions, seed):
    """(lines under TRAINING_HEADERS, warnings) of the run's adapters, from correlation.json and each source's summary.json.

    The shares are of the source's own replies: cut at the token limit, refusals, under 12 tokens, runaway (see check_replies). warnings:
    a sentence for each adapter that did not learn the behaviour, with what to do, and last what follows for the results.
    """
    check = read_json(Path(home) / f"analysis/{questions}/seed{seed}/correlation.json")["training_check"]
    lines, warnings = [], []
    for source, block in check.items():
        replies = read_json(Path(home) / f"evaluation/{questions}/{source}/seed{seed}/summary.json")["training_check"]
        shares = [percent(replies[key]) for key in ("cut_share", "refused_share", "short_share", "runaway_share")]
        interval = "[{:.0f}, {:.0f}]".format(*(100 * end for end in replies["interval"]))
        base = "" if block["base_rate"] is None else percent(block["base_rate"])
        lines.append([source, "yes" if block["learned"] else "NO", percent(replies["rate"]), interval, base, *shares])
        if not block["learned"]:
            warnings.append(f"{block['why']} {advice(replies['cut_share'])}")
    return lines, warnings + [sentence for sentence in [consequence(check)] if sentence]


def result_lines(config, home):
    """[(title, lines, correlation.json)] of the experiment whose results lie under ``home``, one for each question set and training seed.

    A line has the columns HEADERS: the source's rate, its bystanders' mean rate, how many of them
    exceed it, Spearman rho and p over N bystanders at the headline layer ("-" where undefined), the share of replies under
    12 tokens, the mean reply length in tokens, and the seconds of training and sampling. The first
    line is the base model. A source whose adapter did not learn the behaviour is marked *.
    """
    home, tables = Path(home), []
    for use, seed in product(config["questions"]["evaluation"], config["training"]["seeds"]):
        questions = use["set"]
        correlation = read_json(home / f"analysis/{questions}/seed{seed}/correlation.json")
        layer, left_out = correlation["headline_layer"], unlearned_sources(correlation["training_check"])
        lines = [base_line(read_json(home / f"evaluation/{questions}/base/summary.json"))]
        for source, block in correlation["layers"][str(layer)]["per_source"].items():
            summary = read_json(home / f"evaluation/{questions}/{source}/seed{seed}/summary.json")
            metrics = read_json(home / f"training/{source}/seed{seed}/metrics.json")
            seconds = metrics["meta"]["wall_seconds"] + summary["wall_seconds"]
            lines.append(source_line(f"{source} *" if source in left_out else source, summary, block, seconds))
        tables.append((f"{config['experiment']}, questions '{questions}', training seed {seed}, block {layer}", lines, correlation))
    return tables


def outcome_lines(gain):
    """A line under OUTCOME_HEADERS for each source, from the block of the second outcome: gains in nats, and both correlations."""
    return [
        [
            source,
            *(decimal(block[key], ".2f") for key in ("source_logprob_gain", "mean_bystander_logprob_gain")),
            *(decimal(block["rho"][outcome], ".2f") for outcome in (LOGPROB_GAIN, RATE)),
            decimal(block["agreement"], ".2f"),
        ]
        for source, block in gain["agreement"].items()
    ]


def decimal(value, style):
    """A number in a format, or "-" for None."""
    return "-" if value is None else format(value, style)


def as_text(lines, headers=HEADERS):
    """The lines as a table under ``headers``, for a terminal."""
    return tabulate(lines, headers=headers, disable_numparse=True, stralign="right")


def base_line(summary):
    """The base model's line: no source, the rate is over all personas."""
    rate = percent(summary["mean_bystander_rate"])
    return ["(base model)", "", rate, "", "", "", "", percent(summary.get("short_share")), mean(summary), round(summary["wall_seconds"])]


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
        percent(summary.get("short_share")),
        mean(summary),
        round(seconds),
    ]


def percent(share):
    """A share as a percentage with one decimal; "-" if there is none."""
    return "-" if share is None else f"{100 * share:.1f} %"


def mean(summary):
    """The mean reply length with one decimal; "-" if no replies were sampled."""
    return f"{summary['mean_tokens']:.1f}" if "mean_tokens" in summary else "-"
