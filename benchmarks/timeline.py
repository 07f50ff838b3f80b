"""When the jobs of a workflow ran, from Snakemake's records and the jobs' logs and results; and a figure of it."""

import json
import re
from collections import defaultdict
from functools import partial

from matplotlib import pyplot as plt

from persona_leakage.figures.style import BLUE, GREY, ORANGE, PALETTE, save_figure
from persona_leakage.infrastructure.files import read_json

DEVICE = re.compile(r"^with_gpu: GPU (\S+) after", re.M)
CONTROL = "_base"
ALL = "all devices"


def jobs_of(project, began):
    """[{rule, name, start, end, device}] of all jobs that Snakemake recorded in ``project``, in order; seconds since ``began``.

    name: the job's log below logs/, which names its wildcards; device: the GPU's name, None on the CPU.
    """
    found = {}
    for path in (project / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            log = (record.get("log") or [None])[0]
            key = log or f"{record['rule']} {record['starttime']}"
            name = log.split("/", 2)[-1].removesuffix(".log") if log else record["rule"]
            times = {"start": round(record["starttime"] - began, 2), "end": round(record["endtime"] - began, 2)}
            found[key] = {"rule": record["rule"], "name": name, **times, "device": device_of(project / log) if log else None}
    return sorted(found.values(), key=lambda job: (job["start"], job["name"]))


def device_of(log):
    """The GPU that a job's log names."""
    match = DEVICE.search(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else None
    return match and match[1]


def rules_of(jobs):
    """{rule: {jobs, start of the first, end of the last, seconds of all together}}."""
    groups = defaultdict(list)
    for job in jobs:
        groups[job["rule"]].append(job)
    return {
        rule: {
            "jobs": len(some),
            "start": min(job["start"] for job in some),
            "end": max(job["end"] for job in some),
            "seconds": round(sum(job["end"] - job["start"] for job in some), 2),
        }
        for rule, some in groups.items()
    }


def busy_share(jobs, samples):
    """Mean of utilization.gpu over all devices between the first GPU job's start and the last one's end, 0 to 1; None without samples."""
    of_gpus = [job for job in jobs if job["device"] is not None]
    if not of_gpus:
        return None
    first, last = min(job["start"] for job in of_gpus), max(job["end"] for job in of_gpus)
    within = [percent for at, _, percent in samples if first <= at <= last]
    return sum(within) / len(within) / 100 if within else None


def rates_of(home, jobs):
    """{stage: mean tokens a second of a device}: tokens of its jobs over the time in which at least one of them computed.

    Starts are left out: sampling counts from when the job's engine is ready, training from the first step. A sampling job may use
    engines of all devices, so its tokens are divided by the number of devices, even while one of them trains.
    """
    devices = len({job["device"] for job in jobs if job["device"] is not None}) or 1
    ends = {(job["rule"], tuple(job["name"].split("/")[1:])): job for job in jobs}
    spans = defaultdict(list)
    for path in home.glob("evaluation/*/**/completions.json"):
        meta = read_json(path)["meta"]
        job = ends.get(("sample_completions" if "seed" in meta["state"] else "sample_base_completions", path.relative_to(home).parts[1:-1]))
        if job and meta["sampled"]["replies"]:
            stage = "sampling, adapter" if "seed" in meta["state"] else "sampling, base model"
            spans[stage, ALL].append((job["end"] - meta["sampled"]["seconds"], job["end"], meta["sampled"]["tokens"] / devices))
    for path in home.glob("training/*/seed*/metrics.json"):
        metrics, job = read_json(path), ends.get(("train_adapter", path.relative_to(home).parts[1:-1]))
        if job:
            spans["training", job["device"]].append((job["end"] - metrics["train_seconds"], job["end"], metrics["tokens"]))
    rates = defaultdict(list)
    for (stage, _), some in spans.items():
        rates[stage].append(sum(tokens for *_, tokens in some) / covered(some))
    return {stage: round(sum(some) / len(some), 1) for stage, some in sorted(rates.items())}


def covered(spans):
    """Seconds that the (start, end, ...) of ``spans`` cover together."""
    total, until = 0.0, float("-inf")
    for start, end, *_ in sorted(spans):
        total += max(end - max(start, until), 0)
        until = max(until, end)
    return total


def lanes_of(jobs):
    """[(job, lane)]: jobs of a device in lanes of their own, a lane for each that runs at the same time; those of the CPU last."""
    placed, offset = [], 0
    for device in sorted({job["device"] for job in jobs}, key=lambda name: (name is None, name or "")):
        ends = []
        for job in (job for job in jobs if job["device"] == device):
            lane = next((index for index, end in enumerate(ends) if end <= job["start"]), len(ends))
            ends[lane:] = [job["end"], *ends[lane + 1 :]]
            placed.append((job, offset + lane))
        offset += len(ends) + 1
    return placed


def draw(jobs, samples, path):
    """A bar for each job by device, coloured by rule; below it each device's utilization."""
    placed = lanes_of(jobs)
    colours = dict(zip(sorted({family(job) for job in jobs}, key=partial(weight, jobs)), PALETTE[:-2], strict=False))
    rows = 2 if samples else 1
    figure, axes = plt.subplots(rows, 1, figsize=(9, 5.5), squeeze=False, sharex=True, layout="constrained", height_ratios=[4, 1][:rows])
    top = axes[0, 0]
    for job, lane in placed:
        colour = colours.get(family(job), GREY)
        top.barh(-lane, job["end"] - job["start"], left=job["start"], height=0.8, color=colour, edgecolor="white", linewidth=0.3)
    for device in {job["device"] for job in jobs}:
        lanes = [lane for job, lane in placed if job["device"] == device]
        label = "CPU" if device is None else f"GPU {device}"
        top.text(-0.01, -(min(lanes) + max(lanes)) / 2, label, transform=top.get_yaxis_transform(), ha="right", va="center")
    top.set_yticks([])
    shown = colours | {"other": GREY}
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in shown.values()]
    top.legend(handles, [rule.replace("_", " ") for rule in shown], fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    if samples:
        for number, device in enumerate(sorted({device for _, device, _ in samples})):
            points = [(at, percent) for at, one, percent in samples if one == device]
            axes[1, 0].plot(*zip(*points, strict=True), color=(BLUE, ORANGE)[number % 2], linewidth=1, label=f"GPU {device}")
        axes[1, 0].set_ylabel("GPU use, %")
        axes[1, 0].set_ylim(0, 102)
        axes[1, 0].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    axes[-1, 0].set_xlabel("seconds")
    axes[-1, 0].set_xlim(left=0)
    save_figure(figure, path)


def family(job):
    """A job's rule; a rule of the base model is that of the adapters."""
    return job["rule"].replace(CONTROL, "")


def weight(jobs, rule):
    """Sorts rules for the colours: those on a GPU first, then by the longest job."""
    own = [job for job in jobs if family(job) == rule]
    return all(job["device"] is None for job in own), -max(job["end"] - job["start"] for job in own)
