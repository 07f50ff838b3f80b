"""Progress lines: the rate leaves out the start of an engine, and no estimate is shown before there is a rate."""

import re

import pytest

from persona_leakage.infrastructure import progress


class Clock:
    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def run(clock, bar, count, seconds):
    for _ in range(count):
        clock.now += seconds
        bar.advance(1)


def test_the_start_of_an_engine_is_not_in_the_time_left(clock, capsys):
    """20 s until the first of 480 replies, then 4 a second: at reply 240, 60 s are left, not 80."""
    bar = progress.Progress("training pool", 480, "replies")
    run(clock, bar, 1, 20)
    run(clock, bar, 239, 0.25)
    lines = capsys.readouterr().err.splitlines()
    assert "1/480" in lines[0] and "?" in lines[0] and not re.search(r"<\d", lines[0])
    done, left = re.search(r"(\d+)/480 \[.*<(\d\d:\d\d),  4.00replies/s\]", lines[-1]).groups()
    assert left == f"{(480 - int(done)) // 4 // 60:02d}:{(480 - int(done)) // 4 % 60:02d}"


def test_kept_items_count_as_done_but_not_in_the_rate(clock):
    bar = progress.Progress("replies", 930, "replies")
    bar.skip(900)
    run(clock, bar, 1, 20)
    run(clock, bar, 14, 1)
    assert "915/930" in bar.line(clock.now) and "<00:15,  1.00replies/s" in bar.line(clock.now)


def test_the_last_line_comes_at_once_and_without_a_rate_if_all_end_together(clock, capsys):
    progress.Progress("training", 3, "steps").advance(3, "loss 0.5")
    (line,) = capsys.readouterr().err.splitlines()
    assert "100%" in line and "3/3" in line and "loss 0.5" in line
