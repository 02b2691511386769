"""Builds the package's wheel, from a copy: setuptools leaves things beside what it builds from.

python -m tests.wheel FOLDER
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def build(folder: Path) -> Path:
    """The wheel, which is put into that folder."""
    with tempfile.TemporaryDirectory() as copied:
        sources = Path(copied, "openstack")
        shutil.copytree(
            PACKAGE, sources, ignore=shutil.ignore_patterns("__pycache__", ".*", "build", "*.egg-info")
        )
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        # With the setuptools that is here: nothing is fetched.
        words = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(sources)]
        subprocess.run([*pip, *words], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


if __name__ == "__main__":
    build(Path(sys.argv[1]))
