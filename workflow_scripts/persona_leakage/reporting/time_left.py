"""How long the rest of a run takes: planned seconds per job, corrected by the jobs that have run."""

from collections import Counter
from dataclasses import dataclass

LEAST_SECONDS = 1.0  # of a job, as planned: starting it takes that long
PLAN_WEIGHT = 60.0  # seconds that went as planned, which count along with jobs of another kind


@dataclass
class Running:
    """A job at work. began: seconds; left: seconds that it reports, None if it does not."""

    rule: str
    outputs: tuple
    began: float
    left: float | None = None


class TimeLeft:
    """The jobs of one run. All times are seconds of one clock, which the caller reads.

    counts: {rule: jobs of the run}; planned: {rule: seconds of one job}, {} without a plan, and LEAST_SECONDS for other rules;
    kept: {outputs of a job: its rule}, jobs whose outputs only come back from the store. planned and kept may come late.
    """

    def __init__(self, counts, planned=(), kept=()):
        self.counts, self.planned, self.kept = dict(counts), dict(planned), dict(kept)
        self.running, self.failed, self.taken = {}, {}, []  # {job: Running}, {job: rule}, [(rule, outputs, seconds)] of finished jobs
        self.busy, self.began = 0.0, None  # seconds of all jobs that have ended; when the first job began

    def start(self, job, rule, outputs, now):
        """A job begins. job: any identifier; outputs: tuple of paths."""
        self.began = now if self.began is None else self.began
        self.failed.pop(job, None)  # another attempt
        self.running[job] = Running(rule, outputs, now)

    def end(self, job, now, succeeded=True):
        """A job ends; one that fails may start again."""
        ended = self.running.pop(job)
        self.busy += now - ended.began
        if succeeded:
            self.taken.append((ended.rule, ended.outputs, now - ended.began))
        else:
            self.failed[job] = ended.rule

    @property
    def done(self):
        """Number of jobs that succeeded."""
        return len(self.taken)

    def waiting(self):
        """Counter {rule: jobs that have not started}."""
        started = Counter([*(job.rule for job in self.running.values()), *self.failed.values(), *(rule for rule, *_ in self.taken)])
        return Counter(self.counts) - started

    def left(self, now):
        """Seconds until the end, with as many jobs at once as so far; None without a plan."""
        if not self.planned:
            return None
        at_work = [(job, now - job.began) for job in self.running.values() if job.outputs not in self.kept]
        ended = [(rule, seconds) for rule, outputs, seconds in self.taken if outputs not in self.kept]
        longer = [(job.rule, spent + (job.left or 0)) for job, spent in at_work if spent + (job.left or 0) > self._plan(job.rule)]
        expected = {rule: self._expected(rule, ended + longer) for rule in self.counts}
        begun = {*(job.outputs for job in self.running.values()), *(outputs for _, outputs, _ in self.taken)}
        kept = Counter(rule for outputs, rule in self.kept.items() if outputs not in begun)
        work = sum(LEAST_SECONDS * kept[rule] + (count - kept[rule]) * expected[rule] for rule, count in self.waiting().items())
        work += sum(max(0.0, expected[job.rule] - spent) if job.left is None else job.left for job, spent in at_work)
        busy = self.busy + sum(now - job.began for job in self.running.values())
        return work / max(1.0, busy / (now - self.began) if busy else 1.0)

    def _plan(self, rule):
        return max(LEAST_SECONDS, self.planned.get(rule, 0.0))

    def _expected(self, rule, taken):
        """Planned seconds of a job, times what others took over their plan: those of its rule, of its kind (first word), or all."""
        kind, unlike = rule.split("_")[0], [(PLAN_WEIGHT, PLAN_WEIGHT)]
        for alike, pairs in ((rule.__eq__, []), (lambda other: other.split("_")[0] == kind, []), (lambda other: True, unlike)):
            pairs = pairs + [(seconds, self._plan(other)) for other, seconds in taken if alike(other)]
            if pairs:
                break
        return self._plan(rule) * sum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs)
