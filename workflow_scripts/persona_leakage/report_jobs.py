"""Time and memory of the jobs of an experiment, from Snakemake's benchmark files."""

import csv
from collections import defaultdict
from pathlib import Path

ON_GPU = ("train_adapter", "sample", "extract", "measure_divergence", "teacher_force")  # how the rules that use a GPU begin


def summarise_jobs(folder, has_gpu):
    """{"rules": [{rule, jobs, hours, peak_memory_gb}], "hours", "gpu_hours"} from benchmarks/{experiment}/{rule}[/**].tsv.

    Time of the last run of each job, restarts not counted. gpu_hours: of the rules that use a GPU, 0 without one.
    """
    seconds, memory = defaultdict(list), defaultdict(list)
    for path in sorted(Path(folder).rglob("*.tsv")):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                seconds[rule].append(float(row["s"]))
                if row["max_rss"] not in ("-", "NA", ""):
                    memory[rule].append(float(row["max_rss"]) / 1000)
    rules = [
        {"rule": rule, "jobs": len(times), "hours": sum(times) / 3600, "peak_memory_gb": max(memory[rule], default=None)}
        for rule, times in sorted(seconds.items(), key=lambda item: -sum(item[1]))
    ]
    gpu_hours = sum(entry["hours"] for entry in rules if has_gpu and entry["rule"].startswith(ON_GPU))
    return {"rules": rules, "hours": sum(entry["hours"] for entry in rules), "gpu_hours": gpu_hours}
