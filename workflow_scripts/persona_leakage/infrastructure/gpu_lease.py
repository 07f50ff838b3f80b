"""A GPU for each job: kernel locks on this machine's devices, held as long as the job's process lives. Standard library only.

Devices are dictionaries {UUID: name for CUDA_VISIBLE_DEVICES}: a device has one lock, that of its UUID, however a user calls it.
"""

import fcntl
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import chain, product, takewhile
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOCKS = "PERSONA_LEAKAGE_GPU_LOCKS"  # folder of the locks; must be set for users who share devices
HIDDEN = ("", "-1", "NoDevFiles")  # names that mean no device; the last is Slurm's
SHARE = "PERSONA_LEAKAGE_JOBS_PER_GPU"  # how many jobs may have the same device at once; 1 unless set
MEMORY_USED = 0.9  # share of a device's memory that the jobs on it take together
ENGINES = 2  # vLLM engines that sample on a device at once: two nearly fill an H200 at 1.5B, where 17 of a step's 27 ms are kernels
PLACES = "PERSONA_LEAKAGE_GPU_PLACES"  # set within a job that has one device: path of the device's locks, without their endings
WANTED = "PERSONA_LEAKAGE_GPUS_WANTED"  # set for a program that takes its devices itself, see take_wanted: how many
seconds_waited = []  # of this process, for devices
LEASE = "PERSONA_LEAKAGE_GPU_LEASE"  # set within a job; names the allocation that its own jobs share


def installed_devices():
    """The machine's devices, named by number, as vLLM reads no UUIDs. InputError if nvidia-smi cannot list them."""
    nodes = sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        return {number: number for number in nodes}
    except subprocess.TimeoutExpired:
        raise InputError("nvidia-smi -L timed out after 120 s; check the GPU driver") from None
    if done.returncode and nodes:  # a guess could use a device twice
        said = (done.stdout + done.stderr).strip()
        raise InputError(f"nvidia-smi -L failed although /dev/nvidia{nodes[0]} exists; check the GPU driver: {said}")
    return {uuid: index for index, uuid in re.findall(r"^GPU (\d+):.*\(UUID: (\S+)\)", done.stdout, re.MULTILINE)}


def device_pool():
    """The devices to choose from: those of CUDA_VISIBLE_DEVICES if it is set (numbers, UUIDs or their beginnings), else all."""
    chosen = os.environ.get(VISIBLE)
    if chosen is None:
        return installed_devices()
    # CUDA ignores everything after an invalid number.
    names = list(takewhile(lambda name: name not in HIDDEN, (name.strip() for name in chosen.split(","))))
    known = installed_devices() if names else {}
    uuids = [next((uuid for uuid, index in known.items() if name == index or uuid.startswith(name)), name) for name in names]
    return {uuid: known.get(uuid, uuid) for uuid in uuids}


def lock_folder(allocation=""):
    """The folder of the locks, the same for all workflows of a user; so not under TMPDIR, which differs between jobs.

    No other job uses the devices of an allocation, so its locks need no shared folder, which a cluster's node may lack.
    """
    shared = os.environ.get(LOCKS)
    if shared and not allocation:
        if not Path(shared).is_dir():
            raise InputError(f"{LOCKS}: '{shared}' is not a folder; make one on a local disk that all users of the GPUs may write to")
        return Path(shared)
    folder = Path(f"/tmp/persona-leakage-gpus-{os.getuid()}", allocation)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def try_lock(path, shared=False):
    """A descriptor that holds the lock file ``path``, or None if another process holds it. shared: as of locked."""
    with suppress(OSError):  # it may be another user's
        path.touch()  # also if it exists: programs that clean /tmp remove files by age
        path.chmod(0o644)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{path}: cannot be used as a lock ({error.strerror}); set {LOCKS} to a folder that you may write to") from None
    return locked(descriptor, shared)


def locked(descriptor, shared=False):
    """``descriptor``, holding the lock on its file; None, and it is closed, if another process holds it.

    shared: share the lock instead, as soon as nobody holds it alone; never None.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def jobs_per_device():
    """How many jobs share a device: a model of some hundred million parameters leaves most of a large GPU idle."""
    text = os.environ.get(SHARE, "1")
    if not re.fullmatch("[1-9][0-9]?", text):
        raise InputError(f"{SHARE}: is {text!r}; it must be a whole number from 1 to 99")
    return int(text)


def take_devices(uuids, count, folder, samples=False):
    """{UUID: descriptors} of ``count`` devices with the fewest jobs, or None. All or nothing: a waiting job holds none.

    samples: whether the job samples with vLLM; devices with the fewest such jobs come first, and each has at most ENGINES.
    """
    sampling = {uuid: engines_at_work(device_path(folder, uuid)) if samples else 0 for uuid in uuids}
    held = {}
    for uuid, number in sorted(product(uuids, range(jobs_per_device())), key=lambda place: (sampling[place[0]], place[1])):
        if uuid not in held and (locks := take_place_to_work(device_path(folder, uuid), number, samples)):
            held[uuid] = locks
        if len(held) == count:
            return held
    release(chain.from_iterable(held.values()))
    return None


def take_place_to_work(device, number, samples):
    """Descriptors of the lock of a place, and of one of the ENGINES locks if the job ``samples``; None, and none is held, if not free."""
    for engine in range(ENGINES) if samples else [None]:
        if locks := take_locks([*([engine_path(device, engine)] if samples else []), place_path(device, number)]):
            return locks
    return None


def engines_at_work(device):
    """How many vLLM engines sample on a device."""
    free = [lock for engine in range(ENGINES) if (lock := try_lock(engine_path(device, engine))) is not None]
    release(free)
    return ENGINES - len(free)


def device_path(folder, uuid):
    """Path of the locks of a device, without their endings."""
    return folder / uuid.replace("/", "_")


def place_path(device, number):
    """Path of the lock of a place: of the ``number``-th job on the device with this path (see device_path)."""
    return Path(f"{device}{f'.{number}' if number else ''}.lock")


def engine_path(device, number):
    """Path of one of the ENGINES locks of the jobs that sample on a device."""
    return Path(f"{device}.engine{number}.lock")


def waiting_path(device):
    """Path of the lock that all jobs waiting for the device share."""
    return Path(f"{device}.waiting.lock")


def lent_path(device):
    """Path of the lock that all jobs share that have borrowed an engine of the device."""
    return Path(f"{device}.lent.lock")


def is_held(path):
    """Whether a process holds or shares a lock."""
    if (lock := try_lock(path)) is not None:
        os.close(lock)
    return lock is None


def borrow_place(device):
    """As take_place_to_work, in any place, for a job that borrows an engine of the device; None if another job waits for the device."""
    if is_held(waiting_path(device)):
        return None
    for number in range(jobs_per_device()):
        if locks := take_place_to_work(device, number, samples=True):
            return [*locks, try_lock(lent_path(device), shared=True)]
    return None


def take_place():
    """A descriptor that holds one more place on this job's device; None if none is free, or if the job has not one device."""
    if not (device := os.environ.get(PLACES)):
        return None
    places = (try_lock(place_path(device, number)) for number in range(jobs_per_device()))
    return next((place for place in places if place is not None), None)


def take_locks(paths):
    """Descriptors that hold the lock files ``paths``; None, and none is held, if another process holds one of them."""
    held = []
    for path in paths:
        if (lock := try_lock(path)) is None:
            release(held)
            return None
        held.append(lock)
    return held


def release(descriptors):
    """Give back the locks that ``descriptors`` hold."""
    for descriptor in descriptors:
        os.close(descriptor)


def lease_devices(count, samples=False):
    """Take ``count`` devices for this process until it ends, waiting for as long as it takes; on a machine without any, nothing.

    Inside a Slurm job, or another lease, the devices are given; the jobs of a workflow inside share them by that allocation's locks.
    samples: as of take_devices.
    """
    allocation = os.environ.get(LEASE) or os.environ.get("SLURM_JOB_ID") or ""
    if allocation and VISIBLE not in os.environ:
        return
    devices = device_pool()
    if not devices:
        print("with_gpu: no GPU here; running on the CPU", file=sys.stderr)
        return
    names = ",".join(devices.values())
    if count > len(devices):
        raise InputError(f"resources gpu: requested {count}, but only {len(devices)} visible ({names})")
    folder, started = lock_folder(allocation), time.monotonic()
    if (taken := take_devices(devices, count, folder, samples)) is None:
        limit = f" (at most {ENGINES} engines sample on each)" if samples else ""
        print(f"with_gpu: waiting for {count} of the GPUs {names}{limit}; locks in {folder}", file=sys.stderr)
        taken = wait_for_devices(devices, count, folder, samples)
    for descriptor in chain.from_iterable(taken.values()):
        os.set_inheritable(descriptor, True)
    os.environ |= {LEASE: os.urandom(16).hex(), VISIBLE: ",".join(devices[uuid] for uuid in taken)}
    os.environ[PLACES] = str(device_path(folder, *taken)) if count == 1 else ""
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # else CUDA's numbers are not nvidia-smi's where devices differ
    seconds_waited.append(time.monotonic() - started)
    print(f"with_gpu: GPU {os.environ[VISIBLE]} after {seconds_waited[-1]:.0f} s", file=sys.stderr)


def wait_for_devices(uuids, count, folder, samples):
    """As take_devices, once they are free. Meanwhile the lock of waiting_path is held for all of them."""
    waits = [try_lock(waiting_path(device_path(folder, uuid)), shared=True) for uuid in uuids]
    while (taken := take_devices(uuids, count, folder, samples)) is None:
        time.sleep(random.uniform(0.2, 1.0))  # random, so that waiting jobs do not ask in step
    release(waits)
    return taken


def run_on_devices(count, command, samples=False):
    """Become ``command`` with ``count`` devices of this machine to itself; never returns. With count 0 it sees no device.

    samples: whether the command samples with vLLM. It then starts without devices, and calls take_wanted before it uses one.
    The same process runs it, so it holds the locks, and signals and exit code are its own. InputError if it cannot be run.
    """
    if not count:
        os.environ |= {VISIBLE: "", PLACES: ""}
    elif samples:
        os.environ[WANTED] = str(count)
    else:
        lease_devices(count)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise InputError(f"{command[0]}: {error.strerror}") from None


def take_wanted():
    """Take the devices that run_on_devices has left to this program, as lease_devices does; nothing if it has them, or is to have none.

    Before this, nothing in the program may ask CUDA about devices.
    """
    if count := os.environ.pop(WANTED, None):
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while waiting ends in silence
        lease_devices(int(count), samples=True)
        signal.signal(signal.SIGINT, before)
