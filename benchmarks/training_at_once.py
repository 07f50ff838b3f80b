"""Tokens a second of several training jobs at once on one device: each a process of its own, as jobs of the workflow that share a GPU."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import about
from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.infrastructure.gpu_lease import SHARE, VISIBLE


def train_here(args):
    """Train once to warm up, wait until all others have, train again; writes {tokens, begin, end, loss} to --output."""
    from training import ours, prepare

    little, work = prepare(args.shape)
    ours(little)
    args.output.with_suffix(".ready").touch()
    while len(list(args.output.parent.glob("*.ready"))) < args.at_once:
        time.sleep(0.05)
    begin = time.time()
    tokens, loss, _ = ours(work)
    write_json(args.output, {"tokens": tokens, "begin": begin, "end": time.time(), "loss": loss, "about": about()})


def measure(args, jobs, folder):
    """Outcomes of so many jobs at once."""
    command = [sys.executable, __file__, "--shape", args.shape, "--at-once", str(jobs), "--only"]
    variables = {**os.environ, VISIBLE: args.device, SHARE: str(jobs)}
    outputs = [folder / f"job{number}.json" for number in range(jobs)]
    running = [subprocess.Popen([*command, "--output", str(path)], env=variables, stdout=subprocess.DEVNULL) for path in outputs]
    while any(process.poll() is None for process in running):
        if any(process.poll() for process in running):  # the others would wait for it
            for process in running:
                process.kill()
        time.sleep(0.2)
    if any(process.returncode for process in running):
        raise SystemExit(f"{jobs} at once: a job failed; its error is above")
    return [read_json(path) for path in outputs]


def main():
    """Write --output: for each number of jobs, tokens a second of the device and the mean losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--shape", default="qwen2.5-1.5b", help="a model of training.py (default: %(default)s)")
    parser.add_argument("--at-once", default="1,3,5", help="numbers of jobs (default: %(default)s)")
    parser.add_argument("--device", default="0", help="number of the GPU (default: %(default)s)")
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        args.at_once = int(args.at_once)
        train_here(args)
        return
    rows, facts = [], {}
    for jobs in map(int, args.at_once.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            outcomes = measure(args, jobs, Path(folder))
        facts = outcomes[0]["about"]
        seconds = max(outcome["end"] for outcome in outcomes) - min(outcome["begin"] for outcome in outcomes)
        rate = sum(outcome["tokens"] for outcome in outcomes) / seconds
        rows.append({"jobs": jobs, "tokens_per_second": rate, "seconds": seconds, "loss": outcomes[0]["loss"]})
        print(f"{jobs} at once: {rate:.0f} tokens/s, {seconds:.1f} s", flush=True)
        write_json(args.output, {"stage": "training_at_once", "shape": args.shape, "rows": rows, **facts})


if __name__ == "__main__":
    main()
