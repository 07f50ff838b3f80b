"""Snakemake with the Slurm profile as the tests run it, and the faults that they bring about."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.slurm_cluster import all_pids, command_of, environment, environment_of, marked_processes, slurm
from tests.support.waiting import wait_until

LOGS = {"train_adapter": "{source}/seed42", "sample_completions": "evaluation/{source}/seed42"}
# All that the tests change of the shipped profile: look at jobs at once.
PROFILE = ("--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1")


class Run:
    """Snakemake with the Slurm profile, running in a project's folder; what it prints is in the file ``log``."""

    def __init__(self, project, cluster, *arguments, wrapped=False):
        """wrapped: with the squeue of profiles/slurm/bin."""
        self.project, self.cluster = project, cluster
        self.log = project.folder / f"run{len(list(project.folder.glob('run*.log')))}.log"
        own = environment(cluster)
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *PROFILE, *arguments],
                cwd=project.folder,
                env={**own, "PATH": f"profiles/slurm/bin{os.pathsep}{own['PATH']}"} if wrapped else own,
                stdout=output,
                stderr=output,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
            )

    def end(self, seconds=400):
        """Wait for the end; returns the exit code and what was printed."""
        wait_until(lambda: self.process.poll() is not None, f"the end of {self.log}:\n{self.log.read_text()}", seconds)
        return self.process.returncode, self.log.read_text()

    def job(self, rule, source=""):
        """The Slurm job of this run that was submitted last for a rule and source, as scontrol's {key: value}; None if there is none."""
        found = [job for job in jobs_of(self.cluster, self.log) if re.match(f"rule_{rule}(_|$).*{source}", job["Comment"])]
        return found[-1] if found else None

    def job_log(self, rule, source):
        """What a rule's program has printed so far."""
        log = self.project.folder / f"logs/tiny/{rule}/{LOGS[rule].format(source=source)}.log"
        return log.read_text(errors="replace") if log.is_file() else ""

    def hold(self, rule, line, *sources):
        """Stop the programs of a rule's jobs, each as soon as its log holds ``line``; returns {source: pid}."""
        held = {}

        def all_held():
            assert self.process.poll() is None, self.log.read_text()
            for source in set(sources) - set(held):
                if line in self.job_log(rule, source):
                    for pid in program_pids(self.project, rule, source):
                        os.kill(pid, signal.SIGSTOP)
                        held[source] = pid
            return len(held) == len(sources)

        wait_until(all_held, f"'{line}' in the logs of {rule} {sources}", 300)
        return held


def jobs_of(cluster, log):
    """All Slurm jobs of a Snakemake run in the order of their ids, finished ones too."""
    (run_id,) = set(re.findall(r"SLURM run ID: (\S+)", log.read_text())) or {""}
    lines = slurm(cluster, "scontrol", "show", "job", "-o").splitlines()
    jobs = [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in lines]
    return sorted((job for job in jobs if job.get("JobName") == run_id), key=lambda job: int(job["JobId"]))


def program_pids(project, rule, source):
    """Pids of a rule's running program (not of its shells, whose command line names it too)."""
    found = []
    for pid in all_pids():
        command = command_of(pid)
        if command[1:2] == [f"workflow_scripts/{rule}.py"] and any(f"/{source}/seed42" in part for part in command):
            try:
                if Path(f"/proc/{pid}/cwd").readlink() == project.folder:
                    found.append(pid)
            except OSError:
                continue
    return found


def preempt(cluster, job):
    """Ask for a job's GPU with more right to it."""
    slurm(cluster, "sbatch", "-p", "urgent", "-w", job["NodeList"], "--gpus=1", "-o", "/dev/null", "--wrap", "true")


def lose_node(cluster, name):
    """What the loss of a machine does: its slurmd and everything under it are gone without a word."""
    for pid in marked_processes(cluster):
        command = command_of(pid)
        step = (
            command[:1]
            and command[0].startswith("slurmstepd")
            and any(environment_of(child).get("SLURMD_NODENAME") == name for child in children(pid))
        )
        if step or command[-2:] == ["-N", name] or environment_of(pid).get("SLURMD_NODENAME") == name:
            os.kill(pid, signal.SIGKILL)


def children(pid):
    """Pids of a process's children."""
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
