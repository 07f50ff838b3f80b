"""Sampling with engines of other processes: a job's own, and idle ones on any GPU that no other job waits for."""

import os
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from persona_leakage.inference.engine_server import BROKEN, DONE, REFUSED, REPLY, SAID, remove_files
from persona_leakage.inference.requests import AT_ONCE, completion_of
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.gpu_lease import is_awaited, release
from persona_leakage.models.loading import load_tokenizer

LOOK = 1  # seconds between two searches for idle engines
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

    def release(self):
        self.connection.close()
        release(self.locks)


class SharedEngine:
    """Samples with the engine of another process and idle ones like it; one instance for one call of sample."""

    def __init__(self, own, find_idle, adapter, folder):
        """own: a TakenEngine; find_idle() returns another one, or None; folder: of the model."""
        self.own, self.find_idle, self.folder = own, find_idle, folder
        # The engine's process may have another working directory.
        self.adapter = adapter and replace(adapter, folder=str(Path(adapter.folder).resolve()))
        self.at_work, self.looked, self.refused = {}, time.monotonic(), None

    def sample(self, requests, sampling):
        """As VllmEngine.sample; InputError if an engine ends or refuses the adapter."""
        self.left = deque(requests)
        try:
            self.begin(self.own, sampling)
            tokenizer = load_tokenizer(self.folder)
            while self.at_work:
                for connection in wait(list(self.at_work), LOOK):
                    if (reply := self.receive(self.at_work[connection])) is not None:
                        yield completion_of(*reply, tokenizer)
                if time.monotonic() > self.looked + LOOK:
                    self.share(sampling)
                    self.looked = time.monotonic()
        finally:
            for engine in self.at_work.values():
                engine.release()
        if self.refused:
            raise InputError(self.refused)

    def begin(self, engine, sampling):
        """Have an engine sample."""
        self.at_work[engine.connection] = engine
        with failing(engine):
            engine.connection.send((os.getpid(), self.adapter, sampling))
        self.feed(engine)

    def feed(self, engine):
        """Send an engine further requests, or that none follow, if it is time for either."""
        count = min(AT_ONCE - engine.asked, len(self.left))
        if engine.follow and (count >= PART or count == len(self.left)):
            self.send(engine, [self.left.popleft() for _ in range(count)], follow=bool(self.left))

    def send(self, engine, part, follow):
        """Send an engine a part of the requests."""
        engine.asked += len(part)
        engine.follow = follow
        with failing(engine):
            engine.connection.send((part, follow))

    def receive(self, engine):
        """The (request, token ids, finish reason) of an engine's next message; None if it is another one."""
        with failing(engine):
            kind, content = engine.connection.recv()
        if kind == REPLY:
            engine.asked -= 1
            self.feed(engine)
            return content
        if kind == SAID:
            print(content, flush=True)
        elif kind == REFUSED:
            self.refused = content
            self.left.clear()
            for other in self.at_work.values():
                self.feed(other)
        elif kind == DONE:
            del self.at_work[engine.connection]
            engine.release()
        return None

    def share(self, sampling):
        """Send no more to borrowed engines whose device a job waits for, and borrow idle ones."""
        for engine in self.at_work.values():
            if engine.device and engine.follow and is_awaited(engine.device):
                self.send(engine, [], follow=False)
        while len(self.left) >= WORTH and (engine := self.find_idle()):
            print(f"engine {engine.process.pid} was idle and samples too", flush=True)
            self.begin(engine, sampling)


@contextmanager
def failing(engine):
    """Raise failure_of an engine if the connection to it breaks."""
    try:
        yield
    except BROKEN:
        raise failure_of(engine.files, engine.process) from None


def failure_of(files, process):
    """Print the output of an engine that ended unexpectedly, remove its files, and return an InputError for the job."""
    with suppress(psutil.TimeoutExpired):
        process.wait(60)  # it may still be writing why
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
