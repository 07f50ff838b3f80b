"""Waiting for what another process does."""

import time


def wait_until(condition, what, seconds=120):
    """Poll until ``condition()`` is true and return its value; AssertionError naming ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value
