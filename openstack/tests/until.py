"""Waiting for what comes by itself."""

import time
from collections.abc import Callable


def until(is_so: Callable[[], object]) -> None:
    """A minute at most."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)
