"""What these tests need, and not everybody has."""

import importlib.util
import subprocess
import sys
import textwrap

from tests.conftest import missing
from tests.wheel import PACKAGE

SENTENCE = (
    "{} is not installed here: cargo xtask test openstack installs nova, Cinder, os-brick and this package"
)


def need(module: str) -> None:
    """Skips the tests of the module that calls it, where a Python module is not there."""
    top, *_ = module.partition(".")
    if importlib.util.find_spec(top) is None or importlib.util.find_spec(module) is None:
        missing(SENTENCE.format(module), whole_module=True)


def run(script: str, *words: str) -> str:
    """What a script of Python prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *words],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
