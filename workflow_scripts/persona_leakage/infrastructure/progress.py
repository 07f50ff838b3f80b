"""Progress as plain lines, readable on a terminal, in a log file and with two jobs side by side."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Counts finished items and prints share, rate and time left at most every ``interval`` seconds.

    The rate counts from the first finished item, without loading the model; "?" stands for a rate over less than ``interval`` seconds.
    """

    def __init__(self, label, total, unit, interval=10.0):
        self.label, self.total, self.unit, self.interval = label, total, unit, interval
        self.done = self.skipped = 0
        self.printed = time.monotonic()
        self.first = None  # (when the first items had finished, how many they were)

    def skip(self, count):
        """Count items that were there already: they do not enter the rate."""
        self.skipped += count

    def advance(self, count, note=""):
        """Count ``count`` more items as done and print a line if one is due or all are done."""
        self.done += count
        now = time.monotonic()
        if self.first is None:
            self.first = (now, self.done)
        if now - self.printed >= self.interval or self.skipped + self.done >= self.total:
            self.printed = now
            print(self.line(now, note), file=sys.stderr, flush=True)

    def line(self, now, note=""):
        """The line at time ``now`` (of time.monotonic)."""
        began, before = self.first
        finished = self.skipped + self.done >= self.total
        known = self.done > before and (finished or now - began >= self.interval)
        return tqdm.format_meter(
            self.skipped + self.done,
            self.total,
            now - began,
            prefix=self.label,
            unit=self.unit,
            ncols=110,
            rate=None if known else 0,
            initial=self.skipped + before,
            postfix=note or None,
        )
