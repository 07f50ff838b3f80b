"""A Slurm cluster of two nodes, each with a made-up GPU, on this machine's loopback and in a folder of its own.

    python -m tests.support.slurm_cluster FOLDER

starts it, prints "ready" and keeps it up until its standard input closes: that happens however the process that started
it ends, also by a kill -9. Then every process goes that carries the cluster's mark in its environment: daemons, jobs, and what
was started with ``environment(FOLDER)``. No file outside FOLDER is written, so a Slurm that this machine may have is left alone.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.waiting import wait_until

MARK = "PERSONA_LEAKAGE_TEST_CLUSTER"
NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# The credential's lifetime is also how long a requeued job waits before it may start again.
AuthInfo=socket={folder}/munge/socket,cred_expire=10
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# As on a cluster whose administrators leave requeueing to its users.
JobRequeue=0
GresTypes=gpu
SlurmdParameters=config_overrides
KillWait=5
# The tests look back at all jobs.
MinJobAge=3600
SlurmdTimeout=10
{nodes}
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10
PartitionName=gpu Nodes=ALL MaxTime=INFINITE PriorityTier=10
PartitionName=scavenger Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=100 PreemptMode=OFF
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=16 Boards=1 SocketsPerBoard=1 CoresPerSocket=16 "
    "ThreadsPerCore=1 RealMemory=200000 Gres=gpu:1 State=UNKNOWN"
)


def environment(folder):
    """The environment in which Slurm's commands speak to the cluster in ``folder``, and whose processes end with it."""
    folder = Path(folder)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_", "SRUN_"))}
    path = f"{folder}/bin{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    return {**own, "PATH": path, "SLURM_CONF": f"{folder}/slurm.conf", MARK: str(folder), "PERSONA_LEAKAGE_GPU_LOCKS": "/no/such/folder"}


def environment_of(pid):
    """The environment that a process was started with, as a dictionary; empty if it is gone."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(entry.decode(errors="replace").split("=", 1) for entry in entries if b"=" in entry)


def command_of(pid):
    """The arguments of a process; empty if it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def all_pids():
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def marked_processes(folder):
    """Pids of the living processes that carry the mark of the cluster in ``folder``, zombies and this one left out."""
    return [pid for pid in all_pids() if pid != os.getpid() and environment_of(pid).get(MARK) == str(folder) and command_of(pid)]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def write_configuration(folder):
    """slurm.conf, gres.conf, the munge key, device files of the made-up GPUs and the srun that finds its slurm.conf."""
    host = socket.gethostname().split(".")[0]
    controller_port, *ports = free_ports(1 + len(NODES))
    nodes = "\n".join(NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports, strict=True))
    for name in ("munge", "state", "bin", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    for place in (folder, folder / "munge"):
        place.chmod(0o711)  # munged refuses a socket that others cannot reach
    (folder / "munge/key").write_bytes(os.urandom(128))
    (folder / "munge/key").chmod(0o600)
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, controller_port=controller_port, nodes=nodes))
    # slurmd wants a character device; the number at the end of its name becomes CUDA_VISIBLE_DEVICES.
    (folder / "nvidia0").symlink_to("/dev/null")
    (folder / "gres.conf").write_text(f"AutoDetect=off\nNodeName={','.join(NODES)} Name=gpu File={folder}/nvidia0\n")
    # The plugin of the job step takes SLURM_CONF out of the environment of its srun.
    (folder / "bin/srun").write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    (folder / "bin/srun").chmod(0o755)


def daemon(folder, *command):
    """Start a daemon in the foreground, in a session of its own; its output goes to a file of its name."""
    with (folder / f"{command[0]}.out").open("ab") as output:
        return subprocess.Popen(
            command, env=environment(folder), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


def start_node(folder, name):
    """Start a node's slurmd and wait until the controller takes jobs for it."""
    process = daemon(folder, "slurmd", "-D", "-N", name)
    wait_until(lambda: slurm(folder, "sinfo", "-h", "-n", name, "-p", "cpu", "-o", "%T").strip() in ("idle", "mixed"), f"node {name}")
    return process


def slurm(folder, *command, check=True):
    """Run a Slurm command against the cluster; returns what it prints."""
    return subprocess.run(command, env=environment(folder), check=check, capture_output=True, text=True).stdout


def start(folder):
    """Start all daemons; returns their processes."""
    write_configuration(folder)
    munge = folder / "munge"
    places = [f"--{name}={munge / name.removesuffix('-file')}" for name in ("key-file", "socket", "pid-file", "log-file", "seed-file")]
    daemons = [daemon(folder, "munged", "--foreground", *places)]
    wait_until((munge / "socket").exists, "munged")
    daemons.append(daemon(folder, "slurmctld", "-D", "-c"))
    wait_until(lambda: "UP" in slurm(folder, "scontrol", "ping", check=False), "slurmctld")
    return daemons + [start_node(folder, name) for name in NODES]


def stop(folder, daemons):
    """End every process with the cluster's mark: politely at first, as all of them are ours to end."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked_processes(folder):
            try:
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and marked_processes(folder):
            for process in daemons:
                process.poll()
            time.sleep(0.05)
    return marked_processes(folder)


def start_keeper(folder):
    """Start the process that keeps a cluster up; returns it once the cluster is."""
    command = [sys.executable, "-m", "tests.support.slurm_cluster", str(folder)]
    keeper = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert keeper.stdout.readline() == "ready\n", "".join(path.read_text() for path in folder.glob("*.out"))
    return keeper


def main():
    folder = Path(sys.argv[1]).resolve()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C at the tests is theirs; this process sees them end
    daemons = []
    try:
        daemons += start(folder)
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        left = stop(folder, daemons)
    return f"still running: {json.dumps({pid: command_of(pid) for pid in left})}" if left else 0


if __name__ == "__main__":
    sys.exit(main())
