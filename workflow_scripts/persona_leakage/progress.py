"""Progress as plain lines, readable on a terminal, in a log file and with two jobs side by side."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Counts finished items and prints share, rate and time left at most every ``interval`` seconds."""

    def __init__(self, label, total, unit, interval=10.0):
        self.label, self.total, self.unit, self.interval = label, total, unit, interval
        self.done = self.skipped = 0
        self.started = self.printed = time.monotonic()

    def skip(self, count):
        """Count items that were there already: they do not enter the rate."""
        self.skipped += count

    def advance(self, count, note=""):
        """Count ``count`` more items as done and print a line if one is due or all are done."""
        self.done += count
        now = time.monotonic()
        if now - self.printed >= self.interval or self.skipped + self.done >= self.total:
            self.printed = now
            meter = tqdm.format_meter(
                self.skipped + self.done,
                self.total,
                now - self.started,
                prefix=self.label,
                unit=self.unit,
                ncols=110,
                initial=self.skipped,
                postfix=note or None,
            )
            print(meter, file=sys.stderr, flush=True)
