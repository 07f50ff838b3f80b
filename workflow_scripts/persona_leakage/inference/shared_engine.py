"""A vLLM engine that the jobs of a workflow take in turn: a job takes an idle one, or starts one.

An engine is a process (engine_server.py) that stays loaded, asleep, until the Snakemake whose job started it ends. A job that has a
GPU takes an idle engine of its model, settings and code on that GPU, and holds the lock on the engine's file while it samples.
"""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Client
from pathlib import Path

import psutil

from persona_leakage.inference.engine_server import BROKEN, is_alive, remove_files
from persona_leakage.inference.shared_sampling import SharedEngine, TakenEngine, failure_of
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.infrastructure.gpu_lease import (
    ENGINES,
    PLACES,
    VISIBLE,
    borrow_place,
    device_pool,
    is_held,
    jobs_per_device,
    lent_path,
    locked,
    release,
    take_place,
    try_lock,
    waiting_path,
)
from persona_leakage.infrastructure.provenance import PROGRAMS

SERVER = (sys.executable, "-m", "persona_leakage.inference.engine_server")
ASK = 2  # seconds between two attempts to get a place
prepared = []  # (files, process) of prepare(), for take_engine


def owner_process():
    """The process of the Snakemake that runs this job, the outermost one; None without, and within a Slurm job.

    A Slurm job has devices of its own, so no later job could use its engine.
    """
    if "SLURM_JOB_ID" in os.environ:
        return None
    found = [process for process in psutil.Process().parents() if is_snakemake(process)]
    return found[-1] if found else None


def is_snakemake(process):
    """Whether a process is Python running Snakemake, by its command line."""
    with suppress(psutil.Error):
        program, *arguments = process.cmdline()
        return "python" in Path(program).name and "snakemake" in [Path(argument).name for argument in arguments[:4]]
    return False


def connect(files, process):
    """The connection to an engine that is idle or being loaded, once it greets; None if it ends before."""
    while is_alive(process):
        with suppress(FileNotFoundError, ConnectionRefusedError, *BROKEN):
            connection = Client(str(files.with_suffix(".sock")), "AF_UNIX")
            connection.recv()
            return connection
        time.sleep(0.1)
    return None


def take_engine(owner, settings, parts, adapter, starting):
    """A SharedEngine for ``adapter`` (None: the base model): an idle one of Snakemake ``owner``, or a new one.

    An idle engine of another kind on the GPU ends first, because of its memory. gpu_lease.py limits how many sample at once.
    settings: of VllmEngine, as JSON has them, without adapter and tokenizer; parts: what else must be equal for an engine to be taken
    over (model, code, versions); starting: context manager in which a new one is started and loaded.
    """
    folder = engine_folder(owner)
    device = os.environ.get(VISIBLE, "")
    key = digest_of([settings, parts, jobs_per_device(), sys.executable])
    shared = partial(SharedEngine, borrow=partial(borrow_idle, folder, key), adapter=adapter, folder=settings["folder"])
    files, process = prepared.pop() if prepared else (None, None)
    if idle := take_idle(folder, key, device) or take_lent(folder, key, device):
        if process:
            process.stdin.close()  # so it ends
        print(f"engine {idle.process.pid} is loaded already", flush=True)
        return shared(idle)
    with starting:
        if process is None:
            files, process = start_process(folder, owner)
        lock = start(files, process, key, device, settings)
        connection = connect(files, process)
        if connection is None:
            raise failure_of(files, process)
    print(f"engine {process.pid} is loaded", flush=True)
    return shared(TakenEngine(files, [lock], process, connection))


def engine_folder(owner):
    """The folder of the engines of Snakemake ``owner``, made for this user alone; short, as a socket's path has at most 107 bytes.

    Empty folders of Snakemakes that have ended are removed."""
    folder = Path(f"/tmp/persona-leakage-engines-{os.getuid()}", str(owner.pid))
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise InputError(f"{path}: is no folder, belongs to somebody else, or others may write to it; remove it")
    for other in folder.parent.iterdir():
        with suppress(OSError, ValueError):  # it is not empty, as its engines are about to end, or not ours
            if not psutil.pid_exists(int(other.name)):
                other.rmdir()
    return folder


def take_idle(folder, key, device):
    """A TakenEngine of the device with ``key``, or None; idle ones with another key end."""
    for path in sorted(folder.glob("*.json"), key=lambda path: not path.with_suffix(".sock").exists()):  # loaded ones first
        facts = facts_of(path)
        if facts.get("device") != device or (lock := lock_file(path)) is None:
            continue
        process = process_of(facts)
        if process and facts["key"] == key and (connection := connect(path, process)):
            return TakenEngine(path, [lock], process, connection)
        if process:
            process.kill()
        remove_files(path)
        os.close(lock)
    return None


def take_lent(folder, key, device):
    """As take_idle, once a job that has borrowed an engine of the device gives it back; None if none is lent."""
    path = os.environ.get(PLACES)
    if not path or key not in [facts["key"] for facts in engines_on(folder, device)]:
        return None
    waits, idle = try_lock(waiting_path(path), shared=True), None
    while idle is None and is_held(lent_path(path)):
        time.sleep(0.2)
        idle = take_idle(folder, key, device)
    os.close(waits)
    return idle or take_idle(folder, key, device)


def borrow_idle(folder, key):
    """A TakenEngine with ``key`` that is loaded, on any device with a free place that no job waits for, or None."""
    for socket in sorted(folder.glob("*.sock")):
        path = socket.with_suffix(".json")
        facts = facts_of(path)
        if facts.get("key") != key or not facts["places"] or not (locks := borrow_place(facts["places"])):
            continue
        if (lock := lock_file(path)) is not None:
            locks = [lock, *locks]
            if (process := process_of(facts)) and (connection := connect(path, process)):
                return TakenEngine(path, locks, process, connection, facts["places"])
        release(locks)
    return None


def facts_of(path):
    """The content of an engine's file, {} if there is none.

    key, settings: see take_engine; program: the command of its process; device: its name; places: path of its locks, "" if unknown;
    pid; created: when the process began (seconds since 1970).
    """
    with suppress(FileNotFoundError):
        return json.loads(path.read_text(encoding="utf-8"))
    return {}


def process_of(facts):
    """The process of an engine's facts; None if it has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(facts["pid"])
        return process if process.create_time() == facts["created"] and is_alive(process) else None
    return None


def lock_file(path):
    """A descriptor that holds the lock on a file; None if another process holds it, or the file is gone."""
    try:
        return locked(os.open(path, os.O_RDWR))
    except FileNotFoundError:
        return None


def prepare(owner):
    """Start the process of an engine if the GPU has none yet: it imports vLLM while this job still reads its prompts.

    It ends with this job if take_engine does not need it.
    """
    device = os.environ.get(VISIBLE, "")
    folder = engine_folder(owner)
    if not engines_on(folder, device):
        prepared.append(start_process(folder, owner))


def have_engines(owner):
    """Whether each device that a job may have has an engine of Snakemake ``owner``."""
    folder, devices = engine_folder(owner), device_pool().values()
    return bool(devices) and all(engines_on(folder, device) for device in devices)


def engines_on(folder, device):
    """The facts of the engines that a device has."""
    found = [facts_of(path) for path in folder.glob("*.json")]
    return [facts for facts in found if facts.get("device") == device and process_of(facts) is not None]


def load_second_meanwhile(owner):
    """Call load_second until it returns True, in a thread that ends with this job."""

    def ask():
        while not load_second(owner):
            time.sleep(ASK)

    threading.Thread(target=ask, daemon=True).start()


def load_second(owner):
    """Start to load a second engine on this job's GPU, like its only one, for jobs that will sample at once.

    False if it is to be called again: no place is free, a job waits for the GPU, or another job does the same. The engine holds a
    place until it sleeps, so a GPU that only two jobs share gets none: other work would have no place.
    """
    device = os.environ.get(PLACES)
    if not device or jobs_per_device() <= ENGINES:
        return True
    if is_held(waiting_path(device)) or (alone := try_lock(Path(f"{device}.second.lock"))) is None:
        return False
    held = [alone]
    try:
        folder = engine_folder(owner)
        engines = engines_on(folder, os.environ[VISIBLE])
        if len(engines) != 1:
            return True
        if (place := take_place()) is None:
            return False
        held.append(place)
        (facts,) = engines
        new = start_process(folder, owner, place, facts["program"])
        os.close(start(*new, facts["key"], facts["device"], facts["settings"], facts["program"]))
    except (OSError, InputError) as error:  # this job does not need it
        print(f"no second engine is loaded: {error}", file=sys.stderr)
    finally:
        release(held)
    return True


def start_process(folder, owner, place=None, program=None):
    """(files, process) of a new engine that waits for its settings. Not of this one's group: Ctrl-C reaches Snakemake alone.

    place: descriptor of a lock; such an engine does not end with this job, and gives the lock back once it is loaded and asleep.
    program: command, SERVER unless given; jobs of other rules may run in an environment without vLLM.
    """
    files = folder / f"{os.urandom(6).hex()}.json"
    command = [*(program or SERVER), "--files", str(files), "--owner", str(owner.pid)]
    command += ["--job", str(os.getpid())] if place is None else ["--place", str(place)]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAMS)}
    with files.with_suffix(".log").open("w") as log:
        options = {"env": environment, "stdin": subprocess.PIPE, "stdout": log, "stderr": log, "start_new_session": True}
        options["pass_fds"] = () if place is None else (place,)
        return files, psutil.Popen(command, **options)


def start(files, process, key, device, settings, program=None):
    """The lock of an engine that now loads with ``settings`` in the process of start_process."""
    new = files.with_suffix(".new")
    facts = {"key": key, "settings": settings, "program": program or SERVER, "device": device, "places": os.environ.get(PLACES, "")}
    new.write_text(json.dumps({**facts, "pid": process.pid, "created": process.create_time()}))
    lock = lock_file(new)
    new.rename(files)  # locked before others see it
    with suppress(BrokenPipeError):  # it has ended; connect() finds out
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.close()
    return lock
