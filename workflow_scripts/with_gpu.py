"""Run a command with GPUs of this machine to itself: wait until enough are free, and keep them until the command ends.

A command that samples with vLLM starts at once, and takes its GPUs itself (gpu_lease.take_wanted).
"""

import argparse
import importlib.util
import signal

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.gpu_lease import ENGINES, device_pool, jobs_per_device, run_on_devices


def main(argv=None):
    """Become the command; with --count print how many devices there are."""
    parser = argparse.ArgumentParser(prog="with_gpu", description=__doc__, usage="%(prog)s --gpus N [--engine NAME] COMMAND ... | --count")
    parser.add_argument("--gpus", type=int, metavar="N", help="how many; 0 hides them all from the command")
    engine = f"engine.name of a command that samples; with vLLM at most {ENGINES} engines sample on a device at once"
    parser.add_argument("--engine", default="transformers", metavar="NAME", help=engine)
    parser.add_argument("--count", action="store_true", help="print how many jobs can have one at a time, and run nothing")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="program and arguments")
    args = parser.parse_args(argv)
    if args.count:
        print(len(device_pool()) * jobs_per_device())
        return
    if args.gpus is None or args.gpus < 0 or not args.command:
        parser.error("--gpus with a number from 0 on, and a command behind it, are required (or --count)")
    # The command inherits what is ignored; Python ignores these two, for its own ends.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while waiting ends in silence
    samples = args.engine != "transformers" and importlib.util.find_spec("vllm") is not None
    run_on_devices(args.gpus, args.command, samples)


if __name__ == "__main__":
    run_program(main)
