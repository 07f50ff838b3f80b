"""Put the tables of the benchmarks' JSON files into docs/performance.md, between the markers of their folder."""

import argparse
import re
import textwrap
from pathlib import Path

from tabulate import tabulate

from engine_start import SHARED
from harness import ROOT
from persona_leakage.infrastructure.files import read_json

PAGE = ROOT / "docs/performance.md"
STAGES, STEP = ("centroids", "training", "sampling"), "vllm_step"
EXPERIMENT, PLAIN, STARTS, AT_ONCE = "experiment", "plain_experiment", "engine_start", "training_at_once"
RATES = ("sampling, adapter", "training")
START_PHASES = ("imports", "engine process", "weights", "compile", "graphs", "warmup", "adapter check")
# Of the programs that read tables: the slowest and one figure.
PROGRAMS = ("correlate_leakage", "plot_scatter", "build_report")
MEGA, MILLI = 1e6, 1e3
WIDTH = 100


def stage_table(result):
    """A stage's contenders: time, rate against ours with the same kind of adapter, memory of the whole process, agreement."""
    rates = {name: row["units_per_second"]["median"] for name, row in result["contenders"].items()}
    rows = [
        {
            "": name,
            "seconds (range)": f"{row['seconds']['median']:.1f} ({row['seconds']['least']:.1f}-{row['seconds']['most']:.1f})",
            f"{result['unit']}/s": f"{rates[name]:.1f}",
            "ours is": f"{ours / rates[name]:.2f}x" if (ours := ours_like(name, rates)) else "",
            **({"of matrix peak": share_of_peak(result, rates[name])} if "matrix_peak" in result else {}),
            # vLLM's engine is a process of its own.
            "peak memory, MB": "" if name.startswith("vLLM") else memory_of(row),
            "distance": "" if row["distance"] is None else f"{row['distance']:.1e}",
        }
        for name, row in result["contenders"].items()
    ]
    empty = {column for column in rows[0] if not any(row[column] for row in rows)}
    return markdown([{column: value for column, value in row.items() if column not in empty} for row in rows])


def memory_of(row):
    """The peak of a contender's process, in MB."""
    return ", ".join(f"{where} {amount / MEGA:.0f}" for where, amount in row["peak_memory_bytes"].items())


def share_of_peak(result, rate):
    """What a rate's arithmetic is of the fastest matrix product that was measured beside it."""
    return f"{100 * rate * result['operations'] / result['matrix_peak']['most']:.0f} %"


def ours_like(name, rates):
    """Our rate with the kind of adapter that stands behind the last comma of a contender's name; without any, the first of ours, if any."""
    kind = name.rpartition(", ")[2]
    return rates.get(f"ours, {kind}") or next((rate for other, rate in rates.items() if other.startswith("ours")), None)


def workflow_text(result):
    """Parsing, overhead and the programs that read tables, in seconds."""
    found = result["workflow"]
    seconds = {
        "dry run of a finished experiment": found["dry_run_seconds"]["median"],
        f"overhead of a job ({found['jobs']} in turn)": found["overhead_seconds_per_job"],
        **{f"`{name}`": result["tables"][name]["median"] for name in PROGRAMS},
    }
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())


def growth_table(result):
    """Sizes and slopes; the times are in the figure of the folder."""
    rows = [
        {
            "": f"{case['stage']}, {case['axis']}",
            "sizes": ", ".join(str(point["size"]) for point in case["points"]),
            "seconds for each more": f"{case['for_each_more']['seconds']:.3f}",
            "MB for each more": f"{case['for_each_more']['megabytes']:.3f}",
        }
        for case in result["cases"]
    ]
    return markdown(rows)


def step_text(result):
    """What a step of vLLM's decoding spends the GPU's time on."""
    whole = MILLI * result["seconds_per_step"]
    kinds = sorted(result["kinds"].items(), key=lambda item: -item[1])
    return f"{whole:.1f} ms; " + ", ".join(f"{kind} {100 * milliseconds / whole:.0f} %" for kind, milliseconds in kinds)


def experiments_table(results):
    """The whole experiment: the workflow, and the plain script that does the same work."""
    rows = []
    for name, result in results.items():
        rates = result.get("rates", {})
        label = "plain script" if name == PLAIN else " ".join(["the workflow", *name.split("_")[1:]])
        jobs = f", {result['jobs_per_gpu']} jobs a GPU" if result.get("jobs_per_gpu", 1) > 1 else ""
        rows.append(
            {
                "": label + jobs,
                "GPUs": str(result["gpus"]),
                "seconds": f"{result['seconds']:.0f}",
                "GPU busy": "" if result.get("busy") is None else f"{100 * result['busy']:.0f} %",
                **{f"{stage}, tokens/s of a GPU": f"{rates[stage]:.0f}" if stage in rates else "" for stage in RATES},
            }
        )
    return markdown(rows)


def starts_table(results):
    """Starts of the vLLM engine: time to the first reply with its largest parts, and the rate of all engines together.

    A file is engine_start_CACHES or engine_start_CACHES_WORK, where WORK is what it sampled.
    """
    rows = [
        {
            "start": start_name(name, result),
            "engines": str(result["engines"]),
            "replies of each": str(result["outcomes"][0]["replies"]),
            "first reply after, s": f"{result['seconds_to_first_reply']:.0f}",
            **{f"{phase}, s": f"{result['phases'].get(phase, 0):.0f}" for phase in START_PHASES},
            "tokens/s": f"{result['tokens_per_second']:.0f}",
        }
        for name, result in results.items()
        if result["variant"] != SHARED  # it was loaded for another job
    ]
    return markdown(rows)


def start_name(name, result):
    """A start's variant, caches and work."""
    caches, *work = name.removeprefix(f"{STARTS}_").split("_")
    return ", ".join([result["variant"], f"{caches} caches", *([" ".join(work)] if work else [])])


def against_text(result):
    """How a start's replies differ from those of another."""
    found = result["against"]
    low, high = (100 * end for end in found["interval"])
    alike = (
        f"the first greedy log-probabilities differ by {found['median']:.4f} nats at the median and {found['largest']:.3f} at most, "
        f"and {100 * found['equal_tokens']:.0f} % of the greedy tokens are equal. "
        if "median" in found
        else ""
    )
    return (
        f"**{result['variant']} against {found['variant']}** ({result['shape']}): {alike}"
        f"{'The' if alike else 'the'} marker is in {100 * found['rate']:.2f} and {100 * found['other_rate']:.2f} % of the replies: "
        f"difference {low:+.1f} to {high:+.1f} points (95 %), p = {found['p']:.2f}, paired over {found['personas']} personas."
    )


def at_once_table(result):
    """Training jobs at once on a device."""
    return markdown([{"jobs at once": str(row["jobs"]), "tokens/s": f"{row['tokens_per_second']:.0f}"} for row in result["rows"]])


def markdown(rows):
    """A table of dicts."""
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def where_and_when(one):
    """A sentence on the machine, from a file."""
    machine = one["hardware"]
    device = machine.get("gpu") or f"one thread of {machine['cores']} cores ({machine['processor']}), no GPU"
    packages = ", ".join(f"{name} {one['packages'][name]}" for name in ("torch", "transformers", "peft", "vllm") if name in one["packages"])
    return f"Measured {one['date']}: {device}; {packages}."


def heading(name, result, first):
    """Above a stage's table; its date and vLLM's version where they are not in the folder's first line."""
    facts = [f"{result['repeats']} repeat{'s' if result['repeats'] > 1 else ''}"] if "repeats" in result else []
    facts.append(result["shape"])
    if result["date"] != first["date"]:
        facts.append(result["date"])
    if "vllm" in result["packages"] and "vllm" not in first["packages"]:
        facts.append(f"vllm {result['packages']['vllm']}")
    return f"**{name}** ({', '.join(facts)})"


def block(folder):
    """Everything generated for one folder of JSON files."""
    results = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    stages = {name: results[name] for name in (*STAGES, STEP) if name in results}
    first = next(iter(stages.values()))
    parts = [where_and_when(first)]
    for name, result in stages.items():
        if name == STEP:
            parts.append(textwrap.fill(f"{heading('a step of vLLM', result, first)}: {step_text(result)}.", WIDTH))
        else:
            parts += [heading(name, result, first), stage_table(result)]
    whole = {name: result for name, result in results.items() if name == PLAIN or name.split("_")[0] == EXPERIMENT}
    if whole:
        parts += [heading("whole experiment", next(iter(whole.values())), first), experiments_table(whole)]
    if EXPERIMENT in whole:
        parts.append(f"![Jobs and GPU use over time](performance/{folder.name}/{EXPERIMENT}.png)")
    if starts := {name: result for name, result in results.items() if name.startswith(STARTS)}:
        parts += [heading("start of vLLM", next(iter(starts.values())), first), starts_table(starts)]
        parts += [textwrap.fill(against_text(result), WIDTH) for result in starts.values() if result.get("against")]
    if AT_ONCE in results:
        parts += [heading("training jobs at once", results[AT_ONCE], first), at_once_table(results[AT_ONCE])]
    if "workflow" in results:
        parts.append(textwrap.fill(f"**workflow and tables**, seconds: {workflow_text(results['workflow'])}.", WIDTH))
    if "growth" in results:
        parts += ["**growth**", growth_table(results["growth"])]
    return "\n\n".join(parts)


def filled(page, folder):
    """The page's text with the block of ``folder`` between the markers of its name."""
    start, end = f"<!-- {folder.name}: written by make bench -->", f"<!-- end of {folder.name} -->"
    return re.sub(f"{re.escape(start)}.*?{re.escape(end)}", lambda _: f"{start}\n\n{block(folder)}\n\n{end}", page, flags=re.S)


def main():
    """Rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the JSON files, such as docs/performance/cpu")
    args = parser.parse_args()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), args.folder), encoding="utf-8")


if __name__ == "__main__":
    main()
