"""The process of a shared engine: loads vLLM once, then samples for one job after another (see shared_engine.py)."""

import argparse
import json
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Listener
from pathlib import Path
from queue import Queue

import psutil

from persona_leakage.infrastructure.cli import InputError, run_program

HELLO, SAID, REPLY, REFUSED, DONE = "hello", "said", "reply", "refused", "done"  # kinds of messages to a job
BROKEN = (EOFError, BrokenPipeError, ConnectionResetError)  # the other side has ended
FILES = (".json", ".sock", ".log")  # of an engine: facts and lock, socket, output


def main(argv=None):
    """Import vLLM, then load the engine that a line of JSON on stdin describes, and offer it on a socket until owner or job has ended.

    The line: folder, stop_ids, dtype, device, longest and rank, as of VllmEngine. stdin closes without one if the job takes over
    another engine; this process then ends.
    """
    parser = argparse.ArgumentParser(prog="engine_server", description=__doc__)
    parser.add_argument("--files", required=True, type=Path, help="path of the engine's files, without an ending")
    parser.add_argument("--owner", required=True, type=int, help="process number of Snakemake")
    parser.add_argument("--job", type=int, help="process number of the job that waits for it")
    parser.add_argument("--place", type=int, help="descriptor of a lock to close once the engine sleeps, where no job waits for it")
    args = parser.parse_args(argv)
    if args.place is not None:
        os.set_inheritable(args.place, False)
    try:
        needed = {"owner": psutil.Process(args.owner), **({"job": psutil.Process(args.job)} if args.job else {})}
    except psutil.NoSuchProcess:  # it has ended already
        remove_files(args.files)
        return
    threading.Thread(target=end_with, args=(needed, args.files), daemon=True).start()
    from persona_leakage.inference.vllm_engine import VllmEngine

    if not (line := sys.stdin.readline()):
        remove_files(args.files)
        return
    settings = json.loads(line)
    engine = load(VllmEngine, settings, args.files, args.place)
    with Listener(str(args.files.with_suffix(".sock")), "AF_UNIX") as listener, suppress(*BROKEN):
        while True:
            with listener.accept() as connection:
                engine.wake_up()
                connection.send((HELLO, None))
                pid, *asked = connection.recv()
                needed["job"] = psutil.Process(pid)
                serve(engine, connection, *asked)
                try:
                    engine.sleep()
                finally:
                    del needed["job"]
                    connection.send((DONE, None))
    remove_files(args.files)


def load(engine_class, settings, files, place):
    """The engine; with a ``place`` it sleeps and has given the place back, and its ``files`` are removed if it fails."""
    if place is None:
        return engine_class(tokenizer=None, sleeps=True, **settings)  # the job that waits for it reads why it failed
    try:
        engine = engine_class(tokenizer=None, sleeps=True, **settings)
        engine.sleep()
    except BaseException:
        remove_files(files)
        raise
    os.close(place)
    return engine


class Requests:
    """The requests of a job, which it sends in parts: (list of requests, whether more follow).

    A thread receives them, as a job sends some while it is sent replies: else both sides could wait with full buffers.
    """

    def __init__(self, connection):
        self.parts, self.here, self.follow = Queue(), deque(), True
        threading.Thread(target=self.receive_all, args=(connection,), daemon=True).start()
        self.next_part()

    def receive_all(self, connection):
        follow = True
        while follow:
            try:
                part, follow = connection.recv()
            except BROKEN:
                part, follow = [], None
            self.parts.put((part, follow))

    def next_part(self):
        """Wait for a part; EOFError if the job has ended."""
        part, self.follow = self.parts.get()
        if self.follow is None:
            raise EOFError
        self.here.extend(part)

    def take(self, count, wait):
        """As ``more`` of VllmEngine.sample_ids."""
        while self.follow and (not self.parts.empty() or (wait and not self.here)):
            self.next_part()
        return [self.here.popleft() for _ in range(min(count, len(self.here)))]


def serve(engine, connection, adapter, sampling):
    """Sample what a job asks for and send it each reply; one of BROKEN if the job ends in between."""
    requests = Requests(connection)
    engine.say = lambda text: connection.send((SAID, text))
    engine.use(adapter)
    try:
        engine.check(requests.here)
        for reply in engine.sample_ids(requests.take, sampling):
            connection.send((REPLY, reply))
    except InputError as error:
        connection.send((REFUSED, str(error)))
        while requests.follow:  # closing with parts unread could break the connection before the job reads the error
            requests.next_part()


def end_with(needed, files):
    """End this process when one of the processes ``needed`` has ended: its GPU may be another job's already."""
    while all(is_alive(process) for process in list(needed.values())):
        time.sleep(0.5)
    remove_files(files)
    if not is_alive(needed["owner"]):
        with suppress(OSError):  # other engines are there
            files.parent.rmdir()
    os._exit(0)


def is_alive(process):
    """Whether a process runs; one that has ended and that its parent has not asked about does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def remove_files(files):
    """Remove the files of an engine."""
    for ending in FILES:
        files.with_suffix(ending).unlink(missing_ok=True)


if __name__ == "__main__":
    run_program(main)
