"""Paid answers: each is written to disk as it arrives and never requested again."""

import fcntl
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of, writing_to

ANSWERS = "answers.jsonl"
RETRIES = 8  # by the client, with back-off; it obeys Retry-After
TIMEOUT = 120.0  # seconds of one call
FAILURES = 10  # calls without an answer after which no more are made
FATAL = (400, 401, 403, 404, 413, 422)
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class PaidJudge:
    """Fields of a judge behind an API. judge: the config block; store: :class:`PaidAnswers`; client: from the API's Python package."""

    judge: Any
    store: Any
    client: Any


def request_key(judge, request):
    """Digest of a whole request: everything that decides the answer, but no code."""
    return digest_of([judge.backend, judge.url, judge.model, request])


class PaidAnswers:
    """The answers in a folder. ``answers``: {key: answer}; a line that a killed job left unfinished is ignored.

    Open it with ``with``: another job of the experiment waits until it is closed, so that no request is made twice.
    """

    def __init__(self, folder):
        self.path = Path(folder) / ANSWERS
        self.answers, self.guard = {}, threading.Lock()

    def __enter__(self):
        with writing_to(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a+b")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another job is calling the judge ({self.path})", flush=True)
            fcntl.flock(self.file, fcntl.LOCK_EX)
        self.file.seek(0)
        lines = self.file.read().split(b"\n")
        for line in lines:
            try:
                content = json.loads(line)
                self.answers[content["key"]] = content["answer"]
            except (ValueError, KeyError, TypeError):
                continue
        if lines[-1]:
            self._write(b"\n")
        return self

    def __exit__(self, *_):
        self.file.close()

    def add(self, key, answer):
        """Keep an answer; it is on disk when this returns."""
        line = json.dumps({"key": key, "answer": answer}, ensure_ascii=False).encode() + b"\n"
        with self.guard:
            self._write(line)
            self.answers[key] = answer

    def _write(self, line):
        with writing_to(self.path):
            self.file.write(line)
            self.file.flush()
            os.fsync(self.file.fileno())


def read_key(name, url):
    """The API key in the environment; a server on this machine needs none. InputError if it is missing."""
    if key := os.environ.get(name, "").strip():
        return key
    if url and url.startswith("http://"):
        return "none"
    raise InputError(f"{name}: not set; the judge needs the key of its API in the environment")


@contextmanager
def named_errors(sdk, judge, key_name):
    """Turn an API's final refusal into an InputError. It omits the API's text, which may quote replies or the key."""
    try:
        yield
    except sdk.APIStatusError as error:
        if error.status_code not in FATAL:
            raise
        advice = f"check {key_name}" if error.status_code in (401, 403) else "check judge.model, judge.url and judge.scoring"
        raise InputError(
            f"judge.model: the API refuses {judge.model} with status {error.status_code} ({type(error).__name__}); {advice}"
        ) from None


def check_model(judge, name):
    """InputError if a model other than the requested one answered; the same name with a version date is allowed."""
    if name != judge.model and not name.startswith(f"{judge.model}-"):
        raise InputError(f"judge.model: {judge.model} was asked, but {name!r} answered; name the model that the server has")


def announce(judge, requests, kept, label):
    """Print calls and cost before the first call; InputError if they exceed max_calls."""
    missing = [request for key, request in requests.items() if key not in kept]
    tokens = sum(len(json.dumps(request, ensure_ascii=False)) for request in missing) / CHARACTERS_PER_TOKEN
    cost = f", about {cost_of(judge, tokens, 2 * len(missing)):.2f} in money" if judge.price else ""
    print(
        f"{label}: {len(requests)} requests, {len(requests) - len(missing)} answered earlier, {len(missing)} calls;"
        f" about {tokens:,.0f} input tokens (characters / {CHARACTERS_PER_TOKEN}){cost}",
        flush=True,
    )
    if len(kept) + len(missing) > judge.max_calls:
        raise InputError(
            f"judge.max_calls: {judge.max_calls} calls are allowed, but {len(kept)} were made and {len(missing)} are needed;"
            " nothing was asked; raise it or judge fewer replies"
        )


def cost_of(judge, input_tokens, output_tokens):
    """Price of tokens in the currency of judge.price; batches cost half."""
    full = (input_tokens * judge.price.input + output_tokens * judge.price.output) / 1e6
    return full / 2 if judge.batch else full


def ask_missing(judge, requests, store, ask, sdk, label):
    """The answers to all ``requests``, in order. Equal requests share one call; answers in ``store`` are reused.

    ask(request): an answer, see answers.read_answer. If a call fails after the client's retries, the job keeps all other
    answers and then raises an InputError.
    """
    keys = [request_key(judge, request) for request in requests]
    requests = dict(zip(keys, requests, strict=True))
    announce(judge, requests, store.answers, label)
    failed, stopped = [], threading.Event()

    def work(key):
        if stopped.is_set():  # a thread may take its next request before the others are cancelled
            return
        try:
            store.add(key, ask(requests[key]))
        except (sdk.APIConnectionError, sdk.APIStatusError) as error:
            failed.append(f"{type(error).__name__} {getattr(error, 'status_code', '')}".strip())
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(judge.parallel) as pool:
        futures = [pool.submit(work, key) for key in requests if key not in store.answers]
        try:
            for future in as_completed(futures):
                future.result()
                if len(failed) >= FAILURES:
                    break
        finally:
            pool.shutdown(cancel_futures=True)
    check_all_there(requests, store, failed)
    return [store.answers[key] for key in keys]


def check_all_there(requests, store, failed):
    """InputError with the number of requests that have no answer."""
    missing = sum(key not in store.answers for key in requests)
    if missing:
        raise InputError(
            f"{missing} of {len(requests)} requests to the judge have no answer ({', '.join(sorted(set(failed)))});"
            " the others are kept; run again, and only the missing ones are asked"
        )


def add_up_paid(judge, answers):
    """{"calls", "input_tokens", "output_tokens", "cost" (None without a price), "models"} of a judge in an experiment so far."""
    tokens = [answer["tokens"] for answer in answers.values() if answer.get("tokens")]
    read, written = (sum(pair[place] for pair in tokens) for place in (0, 1))
    return {
        "calls": len(answers),
        "input_tokens": read,
        "output_tokens": written,
        "cost": cost_of(judge, read, written) if judge.price else None,
        "models": sorted({answer["model"] for answer in answers.values() if answer.get("model")}),
    }
