"""A GPU for each job: kernel locks on this machine's devices, held as long as any process of the job lives.

Nothing but the standard library, as every job that uses a GPU starts here.
"""

import fcntl
import os
import random
import re
import select
import subprocess
import sys
import time
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from persona_leakage.infrastructure.cli import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOCKS = "PERSONA_LEAKAGE_GPU_LOCKS"  # folder of the locks; must be set for users who share devices
HIDDEN = ("", "-1", "NoDevFiles")  # in the place of a device: none; the last is Slurm's word
SHARE = "PERSONA_LEAKAGE_JOBS_PER_GPU"  # how many jobs may have the same device at once; 1 unless set
LEASE = "PERSONA_LEAKAGE_GPU_LEASE"  # marks the processes of a job
NOTE_SECONDS, LOOKS, LOOK_SECONDS = 1, 3, 0.05  # of the guard


class Device(NamedTuple):
    """A GPU or a MIG part of one. ``uuid`` names its lock, so that a device has one lock however a user calls it.

    index: nvidia-smi's number; of a divided GPU its first part has it, which is what CUDA takes by that number.
    """

    uuid: str
    index: str = ""

    @property
    def visible_name(self):
        """For CUDA_VISIBLE_DEVICES: the number where there is one, because vLLM reads no UUIDs."""
        return self.index if self.index and self.uuid.startswith("GPU-") else self.uuid


def parse_devices(listing):
    """[Device] from the output of ``nvidia-smi -L``; the parts of a divided GPU instead of the GPU."""
    devices, index = [], ""
    for line in listing.splitlines():
        if whole := re.match(r"GPU (\d+):.*\(UUID: (\S+)\)", line):
            index = whole[1]
            devices.append(Device(whole[2], index))
        elif part := re.match(r"\s+MIG .*\(UUID: (\S+)\)", line):
            if devices[-1].uuid.startswith("GPU-"):
                devices.pop()
            else:
                index = ""
            devices.append(Device(part[1], index))
    return devices


def installed_devices():
    """The machine's devices; [] without any. InputError if there are some that nvidia-smi cannot list: guessing could use one twice."""
    nodes = sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        return [Device(number) for number in nodes]
    except subprocess.TimeoutExpired:
        raise InputError("nvidia-smi -L gives no answer; mend the driver") from None
    if done.returncode and nodes:
        raise InputError(f"nvidia-smi -L fails although there are GPUs (/dev/nvidia{nodes[0]}): {(done.stdout + done.stderr).strip()}")
    return [] if done.returncode else parse_devices(done.stdout)


def device_pool():
    """The devices to choose from: those of CUDA_VISIBLE_DEVICES where it is set (numbers, UUIDs or their beginnings), else all."""
    chosen = os.environ.get(VISIBLE)
    if chosen is None:
        return installed_devices()
    # As CUDA reads it: what stands behind an invalid number is not visible.
    names = list(takewhile(lambda name: name not in HIDDEN, (name.strip() for name in chosen.split(","))))
    known = installed_devices() if names else []
    found = [next((device for device in known if name == device.index or device.uuid.startswith(name)), Device(name)) for name in names]
    return list(dict.fromkeys(found))


def lock_folder(allocation=""):
    """The folder of the locks. Not under TMPDIR, which differs between jobs: all workflows of a user must find the same one.

    Devices of an allocation are nobody else's: their locks need no shared folder, which a cluster's node may not have.
    """
    shared = os.environ.get(LOCKS)
    if shared and not allocation:
        if not Path(shared).is_dir():
            raise InputError(f"{LOCKS}: '{shared}' is not a folder; make one on a local disk that all users of the GPUs may write to")
        return Path(shared)
    folder = Path(f"/tmp/persona-leakage-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise InputError(f"{folder}: belongs to another user; set {LOCKS} to a folder for the locks")
    if allocation:
        folder = folder / allocation
        folder.mkdir(exist_ok=True)
    return folder


def try_lock(path):
    """A descriptor that holds the lock file ``path``, or None if somebody else holds it."""
    try:
        while True:
            with suppress(FileExistsError):
                if not path.exists():  # O_CREAT alone is refused on another user's file in a folder like /tmp
                    path.touch(exist_ok=False)
                    path.chmod(0o644)
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    with suppress(PermissionError):  # another user's
                        os.utime(path)  # what cleans /tmp goes by age, and a lock that is cleaned away while it is held protects nothing
                    return descriptor
            os.close(descriptor)  # cleaned away between opening and locking: the lock of a file that nobody else will find
    except PermissionError as error:
        raise InputError(f"{path}: cannot be used as a lock ({error.strerror}); is {LOCKS} a folder that you may write to?") from None


def jobs_per_device():
    """How many jobs share a device: a model of some hundred million parameters leaves most of a large GPU idle."""
    text = os.environ.get(SHARE, "1")
    if not re.fullmatch("[1-9][0-9]?", text):
        raise InputError(f"{SHARE}: is {text!r}; it must be a whole number from 1 to 99")
    return int(text)


def take_devices(devices, count, folder):
    """(devices, descriptors) of ``count`` different ones with the fewest jobs, or None. All or nothing: who waits holds none."""
    held = {}
    for place in range(jobs_per_device()):
        for device in (device for device in devices if device not in held):
            descriptor = try_lock(folder / f"{device.uuid.replace('/', '_')}{f'.{place}' if place else ''}.lock")
            if descriptor is not None:
                held[device] = descriptor
            if len(held) == count:
                return list(held), list(held.values())
    for descriptor in held.values():
        os.close(descriptor)
    return None


def wait_for_devices(devices, count, folder):
    """As take_devices, as soon as so many are free; says in the job's log what it waits for and what it got."""
    started = time.monotonic()
    taken = take_devices(devices, count, folder)
    if taken is None:
        log(f"waiting for {count} of the GPUs {names_of(devices)}; locks in {folder}")
    while taken is None:
        # For as long as it takes: devices come free, and time limits are the cluster's. Drawn, so that jobs do not ask in step.
        time.sleep(random.uniform(0.2, 1.0))
        taken = take_devices(devices, count, folder)
    chosen, descriptors = taken
    log(f"GPU {names_of(chosen)} after {time.monotonic() - started:.0f} s")
    return chosen, descriptors


def run_on_devices(count, command):
    """Become ``command``, with ``count`` devices of this machine to itself; never returns.

    The same process runs it, so signals and exit code are its own. With count 0 it sees no device.
    InputError if there are fewer than ``count``, or the command cannot be run.
    """
    if count:
        lease_devices(count)
    else:
        os.environ[VISIBLE] = ""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise InputError(f"{command[0]}: {error.strerror}") from None


def lease_devices(count):
    """Take ``count`` devices for this process and all that it starts, until the last of them has ended.

    On a machine without any, nothing is taken. Inside a Slurm job, or another lease, the devices are given; the jobs of a
    workflow inside share them by locks of that allocation alone.
    """
    allocation = os.environ.get(LEASE) or os.environ.get("SLURM_JOB_ID")
    if allocation and VISIBLE not in os.environ:
        return
    devices = device_pool()
    if not devices:
        log("no GPU here; running on the CPU")
        return
    if count > len(devices):
        raise InputError(f"resources gpu: {count} asked for, but there are {len(devices)} ({names_of(devices)}); allowed: 0 to as many")
    folder = lock_folder((allocation or "").rpartition(":")[2])
    chosen, descriptors = wait_for_devices(devices, count, folder)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    token = os.urandom(16).hex()
    os.environ[LEASE] = f"{os.environ.get(LEASE, '')}:{token}"
    os.environ[VISIBLE] = names_of(chosen)
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # else CUDA's numbers are not nvidia-smi's where devices differ
    start_guard(token)


def start_guard(token):
    """Start a process that shares the locks and ends after the last process with ``token`` in its environment.

    Children that Python starts do not inherit the locks' descriptors (subprocess and spawned
    multiprocessing workers, such as vLLM's engine, close them), and may outlive a killed job with the GPU in use.
    """
    try:
        job = os.pidfd_open(os.getpid())
    except (AttributeError, OSError):  # a Python, a kernel or a container without
        log("no guard here: a process that outlives this job would lose its device")
        return
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        os.close(job)
        return
    try:
        os.setsid()  # what kills the job's process group leaves the guard
        if os.fork() == 0:
            os.chdir("/")
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):  # an open pipe would keep the job's "| tee log" waiting
                os.dup2(nowhere, descriptor)
            wait_for_all(token, job)
    finally:
        os._exit(0)


def wait_for_all(token, job):
    """Wait until the process of the pidfd ``job``, and then every other that has ``token`` in its environment, has ended.

    Who belongs to the job is noted while it runs: a process that was killed shows no environment from the moment it gives its
    memory back, which takes long where it has much, until it gives its devices back. Afterwards, a process that begins
    while /proc is read may be missed, and one in the middle of an exec shows no environment: only LOOKS in a row
    that find none are the end.
    """
    members = {}
    while not has_ended(job, NOTE_SECONDS):
        members = {pid: descriptor for pid, descriptor in members.items() if not has_ended(descriptor, 0)}
        note(members, token)
    found_none = 0
    while found_none < LOOKS:
        note(members, token)
        found_none = 0 if members else found_none + 1
        for descriptor in members.values():
            has_ended(descriptor, None)  # for as long as it takes: the device is in use until then
        members.clear()
        time.sleep(LOOK_SECONDS)


def has_ended(pidfd, seconds):
    """Whether a process has ended, waiting up to so many seconds (None: for ever); its descriptor is then closed."""
    ended = select.poll()
    ended.register(pidfd, select.POLLIN)
    if not ended.poll(None if seconds is None else 1000 * seconds):
        return False
    os.close(pidfd)
    return True


def note(members, token):
    """Add to {pid: pidfd} the processes that have ``token`` in their environment right now, but for this one."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        pid = int(path.parent.name)
        with suppress(OSError):  # ended meanwhile, or another user's
            if pid != os.getpid() and pid not in members and token.encode() in path.read_bytes():
                members[pid] = os.pidfd_open(pid)


def names_of(devices):
    """As CUDA_VISIBLE_DEVICES has them."""
    return ",".join(device.visible_name for device in devices)


def log(text):
    """A line in the job's log."""
    print(f"with_gpu: {text}", file=sys.stderr, flush=True)
