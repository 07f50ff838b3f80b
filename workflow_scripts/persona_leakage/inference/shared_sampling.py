"""Sampling with engines of other processes: a job's own, and idle ones on any GPU that no other job waits for."""

import os
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from persona_leakage.inference.engine_server import BROKEN, REFUSED, REPLY, SAID, is_alive, remove_files
from persona_leakage.inference.requests import completion_of
from persona_leakage.inference.vllm_start import AT_ONCE
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.gpu_lease import is_held, release, waiting_path
from persona_leakage.models.loading import load_tokenizer

LOOK = 1  # seconds between two searches for idle engines
ENDED = "ended"  # what a broken connection counts as, among the kinds of messages
PART = 32  # requests in a message: the replies to a prompt mostly come from one engine, whose cache has the prompt
WORTH = 512  # requests still to send, for which an engine is borrowed: it first wakes up and checks the adapter


@dataclass(eq=False)
class TakenEngine:
    """An engine that this job holds. A borrowed one gets no more requests once a job waits for its ``device``."""

    files: Path
    locks: list  # descriptors of the locks on it
    process: psutil.Process
    connection: Connection
    device: str = ""  # path of the locks of its device (gpu_lease.device_path); empty: it is not borrowed
    asked: int = 0  # requests that it has not answered
    follow: bool = True  # whether it may get more
    since: float = field(default_factory=time.monotonic)

    def release(self):
        self.connection.close()
        release(self.locks)


class SharedEngine:
    """Samples with the engine of another process and idle ones like it; one instance for one call of sample."""

    def __init__(self, own, borrow, adapter, folder):
        """own: a TakenEngine; borrow() returns another one, or None; folder: of the model."""
        self.own, self.borrow, self.folder = own, borrow, folder
        # The engine's process may have another working directory.
        self.adapter = adapter and replace(adapter, folder=str(Path(adapter.folder).resolve()))
        self.at_work, self.looked, self.error = {}, time.monotonic(), None
        self.seconds = 0.0  # of all engines

    def sample(self, requests, sampling):
        """As VllmEngine.sample; InputError if an engine ends or refuses the adapter, after the replies that others were asked for."""
        self.left, self.sampling = deque(requests), sampling
        try:
            self.begin(self.own)
            tokenizer = load_tokenizer(self.folder)
            while self.at_work:
                for connection in wait(list(self.at_work), LOOK):
                    if (engine := self.at_work.get(connection)) and (reply := self.receive(engine)):
                        yield completion_of(*reply, tokenizer)
                        self.feed(engine)
                if time.monotonic() > self.looked + LOOK:
                    self.share()
        finally:
            for engine in self.at_work.values():
                engine.release()
        if self.error:
            raise self.error

    def begin(self, engine):
        """Have an engine sample."""
        self.at_work[engine.connection] = engine
        self.send(engine, (os.getpid(), self.adapter, self.sampling))
        self.feed(engine)

    def feed(self, engine):
        """Send an engine further requests, or that none follow, if it is time for either."""
        count = min(AT_ONCE // (2 if engine.device else 1) - engine.asked, len(self.left))
        if engine.follow and (count >= PART or count == len(self.left)):
            part = [self.left.popleft() for _ in range(count)]
            engine.asked += count
            engine.follow = bool(self.left)
            self.send(engine, (part, engine.follow))

    def send(self, engine, message):
        """Send an engine a message, or notice that it has ended."""
        try:
            engine.connection.send(message)
        except BROKEN:
            engine.follow = False  # receive() finds what it sent before

    def receive(self, engine):
        """The (request, token ids, finish reason) of an engine's next message; None if it is another one."""
        try:
            kind, content = engine.connection.recv()
        except BROKEN:
            kind, content = ENDED, failure_of(engine.files, engine.process)
        if kind == REPLY:
            engine.asked -= 1
            return content
        if kind == SAID:
            print(content, flush=True)
        elif kind == REFUSED:
            self.stop(InputError(content))
        else:
            del self.at_work[engine.connection]
            self.seconds += time.monotonic() - engine.since
            engine.release()
            if kind == ENDED:
                self.stop(content)
        return None

    def stop(self, error):
        """Ask for no more replies because of an ``error``."""
        self.error = self.error or error
        self.left.clear()
        for engine in self.at_work.values():
            self.feed(engine)

    def share(self):
        """Give back one of the borrowed engines whose devices a job waits for, or borrow idle ones."""
        self.looked = time.monotonic()
        awaited = [engine for engine in self.at_work.values() if engine.device and is_held(waiting_path(engine.device))]
        if awaited and all(engine.follow for engine in awaited):
            awaited[0].follow = False
            self.send(awaited[0], ([], False))
        if awaited:
            return
        while len(self.left) >= WORTH and (engine := self.borrow()):
            print(f"engine {engine.process.pid} was idle and samples too", flush=True)
            self.begin(engine)


def failure_of(files, process):
    """Print the output of an engine that ended unexpectedly, remove its files, and return an InputError for the job."""
    deadline = time.monotonic() + 60
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.1)  # it may still be writing why
    said = ""
    with suppress(OSError):
        said = files.with_suffix(".log").read_text(encoding="utf-8", errors="replace").strip()
    remove_files(files)
    last = said.splitlines()[-1] if said else ""
    if last.startswith("error: "):
        return InputError(last.removeprefix("error: "))
    print(said, file=sys.stderr, flush=True)
    how = "with the output above" if said else "without any output, so it was probably killed, for example for using too much memory"
    return InputError(
        f"engine.name: vllm: its process {process.pid} has ended, {how}; run the same command again: finished replies are kept"
    )
