"""Run a job's command, unless its outputs were computed earlier: then they come back from the store of finished work."""

import argparse
import json
import signal
import subprocess
import sys

from persona_leakage.infrastructure.cli import run_program
from persona_leakage.infrastructure.finished_work import finished_folder, keep, remove_unused, restore


def main(argv=None):
    """Restore the outputs, or run the command and keep them; ends with the command's exit code."""
    parser = argparse.ArgumentParser(prog="reuse_finished", description=__doc__)
    parser.add_argument("--store", required=True, metavar="PATH", help="folder of kept work; safe to delete when nothing runs")
    parser.add_argument("--job", required=True, type=json.loads, metavar="JSON", help="key, inputs and outputs, as the rules make it")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="program and arguments")
    args = parser.parse_args(argv)
    outputs = args.job["outputs"]
    folder = finished_folder(args.store, args.job)
    if restore(folder, outputs):
        print(f"kept from earlier: {', '.join(outputs)}", flush=True)
        return
    code = run(args.command)
    if code:
        sys.exit(code)
    keep(folder, outputs)
    remove_unused(args.store)


def run(command):
    """Run a command to its end and return its exit code, 128 + the signal if one ended it.

    Ctrl-C reaches the command directly, as a member of the terminal's process group; other signals are passed on.
    """
    process = subprocess.Popen(command)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda received, _: process.send_signal(received))
    code = process.wait()
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    run_program(main)
