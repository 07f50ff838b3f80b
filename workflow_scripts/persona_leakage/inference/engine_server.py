"""The process of a shared engine: loads vLLM once, then samples for one job after another (see shared_engine.py)."""

import argparse
import json
import os
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Listener
from pathlib import Path

import psutil

from persona_leakage.infrastructure.cli import InputError, run_program

HELLO, SAID, REPLY, DONE, REFUSED = "hello", "said", "reply", "done", "refused"  # kinds of messages to a job
BROKEN = (EOFError, BrokenPipeError, ConnectionResetError)  # the other side has ended
FILES = (".json", ".sock", ".log")  # of an engine: facts and lock, socket, output


def main(argv=None):
    """Start an engine and offer it on a socket until the owner, a Snakemake, has ended."""
    parser = argparse.ArgumentParser(prog="engine_server", description=__doc__)
    parser.add_argument("--settings", required=True, type=json.loads, help="JSON: folder, stop_ids, dtype, device, longest, rank")
    parser.add_argument("--files", required=True, type=Path, help="path of the engine's files, without an ending")
    parser.add_argument("--owner", required=True, type=int, help="process number of the Snakemake that it ends with")
    args = parser.parse_args(argv)
    first_job = os.getppid()
    threading.Thread(target=end_with, args=(psutil.Process(args.owner), args.files), daemon=True).start()
    from persona_leakage.inference.vllm_engine import VllmEngine
    from persona_leakage.models.loading import load_tokenizer

    engine = VllmEngine(tokenizer=load_tokenizer(args.settings["folder"]), sleeps=True, **args.settings)
    if os.getppid() != first_job:  # it was ended in the meantime
        engine.sleep()
    with Listener(str(args.files.with_suffix(".sock")), "AF_UNIX") as listener, suppress(*BROKEN):
        while True:
            with listener.accept() as connection:
                connection.send((HELLO, None))
                engine.wake_up()
                serve(engine, connection)
                try:
                    engine.sleep()
                finally:  # the job has its replies even if this process ends now
                    connection.send((DONE, None))
    remove_files(args.files)  # a job was ended while it sampled: the next one starts another engine


def serve(engine, connection):
    """Sample what a job asks for and send it each reply; one of BROKEN if the job ends in between, InputError if it is refused."""
    adapter, requests, sampling = connection.recv()
    engine.say = lambda text: connection.send((SAID, text))
    engine.use(adapter)
    try:
        for completion in engine.sample(requests, sampling):
            connection.send((REPLY, completion))
    except InputError as error:
        connection.send((REFUSED, str(error)))
        raise


def end_with(owner, files):
    """End this process when the process ``owner`` has ended."""
    while is_alive(owner):
        time.sleep(1)
    remove_files(files)
    os._exit(0)


def is_alive(process):
    """Whether a process runs; one that has ended and that its parent has not asked about does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def remove_files(files):
    """Remove the files of an engine, and their folder if it is the last one there."""
    for ending in FILES:
        files.with_suffix(ending).unlink(missing_ok=True)
    with suppress(OSError):
        files.parent.rmdir()


if __name__ == "__main__":
    run_program(main)
