"""Side by side: each contender in a process of its own, in turn, several times; medians and spreads as JSON."""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

os.environ["OMP_NUM_THREADS"] = "1"  # as the rules ask for; before torch is imported
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.infrastructure.provenance import code_commit, hardware, package_versions, peak_memory_bytes

ROOT = Path(__file__).parents[1]
SHARED = "BENCHMARK_FOLDER"  # for what a contender writes that others can read, such as a large model; kept where the user names one


def run_stage(stage, unit, contenders, prepare, reference, operations=None):
    """Command line of a benchmark: write {contender: times, rates, memory} of all ``contenders`` to --output.

    contenders(shape): {name: function(work) -> (units done, check, seconds)}; it is called on a little work first, then on all of it,
    and the second call counts, so that neither first-call costs nor loading do. seconds: None for all of the call.
    prepare(shape): (a little work, all of it). check: numbers that all contenders should agree on (None: nothing to compare);
    their distance from those of ``reference`` is reported.
    operations(shape): (floating-point operations that a unit needs, the config's name of the number format); with it the share of
    what a large matrix product in that format reaches is reported, the fastest that any of the runs measured.
    """
    parser = argparse.ArgumentParser(description=f"Benchmark of {stage}.")
    parser.add_argument("--output", required=True, help="JSON file to write")
    parser.add_argument("--repeats", type=int, default=3, help="how often each contender runs (default: %(default)s)")
    parser.add_argument(
        "--shape", default="smollm2", choices=["smollm2", "qwen2.5-7b", "qwen2.5-1.5b"], help="the model (default: %(default)s)"
    )
    parser.add_argument("--match", metavar="TEXT", default="", help="only contenders with this in their name")
    parser.add_argument("--only", metavar="CONTENDER", help="run this one once, in this process")
    args = parser.parse_args()
    contenders = contenders(args.shape)
    if args.only:
        write_json(args.output, run_once(contenders[args.only], *prepare(args.shape)) | measure_peak(operations, args.shape))
        return
    names = [name for name in contenders if args.match in name]
    if not names:
        parser.error(f"--match: no contender has {args.match!r} in its name; there are {', '.join(contenders)}")
    outcomes = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as own:
        for repeat in range(args.repeats):
            # Another one first each time: what the machine does meanwhile meets all alike.
            for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
                outcomes[name].append(run_alone(name, args.shape, own))
                print(f"{stage}, {name}: {outcomes[name][-1]['seconds']:.2f} s", flush=True)
            # After each repeat: one that is cut off loses nothing before it.
            expected = np.array(outcomes[reference][0]["check"] or []) if reference in outcomes else np.array([])
            table = {name: summarise(runs, expected) for name, runs in outcomes.items()}
            facts = {"stage": stage, "unit": unit, "shape": args.shape, "repeats": repeat + 1, **peak_of(outcomes)}
            write_json(args.output, {**facts, "contenders": table, **about()})


def run_alone(name, shape, folder):
    """What run_once says of a contender, run in a process of its own that may write to ``folder`` or where SHARED says."""
    output = Path(folder) / "outcome.json"
    command = [sys.executable, sys.argv[0], "--shape", shape, "--only", name, "--output", str(output)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={SHARED: folder, **os.environ})
    return read_json(output)


def run_once(contender, little, work):
    """{seconds, units, peak memory, check} of a contender's call on ``work``, after one on ``little``."""
    contender(little)
    gc.collect()
    started = time.perf_counter()
    units, check, seconds = contender(work)
    seconds = time.perf_counter() - started if seconds is None else seconds
    return {"seconds": seconds, "units": units, "peak_memory_bytes": peak_memory_bytes(), "check": check}


def measure_peak(operations, shape):
    """{operations a unit needs, those a second of a matrix product here}; {} if nobody counted the first."""
    if operations is None:
        return {}
    from models import matrix_peak

    count, precision = operations(shape)
    return {"operations": count, "matrix_peak": matrix_peak(precision)}


def summarise(runs, expected):
    """Median, smallest and largest of several runs, and the largest relative distance of their checks from ``expected`` (empty: None)."""
    seconds = [run["seconds"] for run in runs]
    rates = [run["units"] / run["seconds"] for run in runs]
    checks = [np.array(run["check"]) for run in runs if run["check"] is not None and len(expected)]
    scale = np.abs(expected).max() if len(expected) else None
    return {
        "seconds": spread(seconds),
        "units": runs[0]["units"],
        "units_per_second": spread(rates),
        "peak_memory_bytes": {where: max(run["peak_memory_bytes"][where] for run in runs) for where in runs[0]["peak_memory_bytes"]},
        "distance": max((float(np.abs(check - expected).max() / scale) for check in checks), default=None),
    }


def peak_of(outcomes):
    """{operations of a unit, a matrix product's operations a second: spread over all runs}; {} where they were not counted."""
    runs = [run for runs in outcomes.values() for run in runs if "operations" in run]
    if not runs:
        return {}
    return {"operations": runs[0]["operations"], "matrix_peak": spread([run["matrix_peak"] for run in runs])}


def spread(values):
    """{median, least, most} of some numbers."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def about():
    """When, on what and with which code and packages this was measured."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        # Not this process's threads: those that measure have one on a CPU.
        "hardware": {name: value for name, value in hardware().items() if name != "threads"},
        "code_commit": code_commit(),
        "packages": package_versions(),
    }
