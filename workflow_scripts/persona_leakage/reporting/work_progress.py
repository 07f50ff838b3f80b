"""Progress and remaining time of a run: jobs are weighted by the plan, corrected by the times of this run's finished jobs."""

import time
from pathlib import Path

from persona_leakage.reporting.measured_rates import OF_A_MODEL, seconds_of

LEAST_SECONDS = 1.0  # of a job, as planned: starting it takes that long
DONE = {
    "sample_training_pool": "training answers sampled",
    "build_training_set": "{source}'s training rows built",
    "train_adapter": "{source}'s adapter trained",
    "sample_base_completions": "base model's replies sampled",
    "sample_completions": "{source}'s replies sampled",
    "score_base_leakage": "base model's replies scored",
    "score_leakage": "{source}'s replies scored",
    "build_choice_rows": "{source}'s training rows built",
    "score_base_choices": "base model's answers scored",
    "score_choices": "answers scored with {source}'s adapter",
    "extract_centroids": "centroids taken",
    "extract_training_centroids": "centroids of training questions taken",
}


class WorkProgress:
    """The work of one run of Snakemake. Feed it started, finished and failed jobs; ask for a line.

    jobs: [PlannedJob]; seconds: {rule: planned seconds of one job}; kept: jobs whose outputs only come back from the store;
    clock: seconds, growing.
    """

    def __init__(self, jobs, seconds, clock=time.monotonic, wall_clock=time.time, kept=()):
        self.pending = [*(job for job in jobs if job.rule in seconds), *kept]
        self.kept, self.brought_back = set(job.outputs for job in kept), 0.0  # and the seconds of those that have ended
        self.planned = {rule: max(LEAST_SECONDS, value) for rule, value in seconds.items()}
        self.taken = {}  # {rule: [seconds of finished jobs]}
        self.clock, self.since = clock, wall_clock()
        self.began = self.now = clock()
        self.running, self.busy = 0, 0.0  # jobs at work; their seconds so far, finished jobs included
        self.total, self.finished_jobs = len(self.pending), 0

    def start(self, count):
        """``count`` jobs begin."""
        self._tick()
        self.running += count

    def fail(self):
        """A job ended with an error."""
        self._tick()
        self.running = max(0, self.running - 1)

    def finish(self, rule):
        """A job of ``rule`` succeeded; returns the job, or None if the plan has no more jobs of that rule."""
        self.fail()
        candidates = [job for job in self.pending if job.rule == rule]
        if not candidates:
            return None
        job = next((job for job in candidates if self._is_new(job.outputs[0])), candidates[0])
        self.pending.remove(job)
        self.finished_jobs += 1
        seconds = seconds_of(Path(job.benchmark)) if job.benchmark and self._is_new(job.benchmark) else None
        if job.outputs in self.kept:
            self.brought_back += seconds or LEAST_SECONDS
        else:
            self.taken.setdefault(rule, []).append(seconds or self.planned[rule])
        return job

    def remaining(self):
        """Seconds of work that are left, all jobs one after the other."""
        self._tick()
        at_work = max(0.0, self.busy - sum(map(sum, self.taken.values())) - self.brought_back)
        return max(0.0, sum(map(self._seconds, self.pending)) - at_work)

    def line(self, job=None):
        """The share of the work that is done, the time left, and which job has just ended."""
        left = self.remaining()
        share = 100 if not self.pending else min(99, round(100 * self.busy / (self.busy + left))) if self.busy else 0
        speed = max(1.0, self.busy / (self.now - self.began)) if self.now > self.began else 1.0
        count = f"{self.finished_jobs} of {self.total} jobs"
        time_left = f", about {as_time(left / speed)} left" if self.pending else ""
        return f"work: {share} % done{time_left} ({count}{'; ' + what_is_done(job) if job else ''})"

    def _seconds(self, job):
        """Seconds that a job takes, as far as this run tells."""
        return LEAST_SECONDS if job.outputs in self.kept else self.planned[job.rule] * self._factor(job.rule)

    def _factor(self, rule):
        """Seconds that jobs took over those planned: of this rule, or while none has ended of those that load a model too, or do not."""
        heavy = rule.startswith(OF_A_MODEL)
        alike = [rule] if rule in self.taken else [other for other in self.taken if other.startswith(OF_A_MODEL) == heavy]
        planned = sum(self.planned[other] * len(self.taken[other]) for other in alike)
        return sum(sum(self.taken[other]) for other in alike) / planned if planned else 1.0

    def _is_new(self, path):
        path = Path(path)
        return path.exists() and path.stat().st_mtime >= self.since - 1

    def _tick(self):
        now = self.clock()
        self.busy += self.running * (now - self.now)
        self.now = now


def what_is_done(job):
    """A finished job in words."""
    seed = f", seed {job.wildcards['seed']}" if "source" in job.wildcards and "seed" in job.wildcards else ""
    text = DONE.get(job.rule, f"{job.rule} done").format_map({"source": "?", **job.wildcards})
    return text + seed


def as_time(seconds):
    """Seconds in words, with as many digits as an estimate deserves."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
