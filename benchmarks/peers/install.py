"""Installs the peers into the environment of the Python that runs this: ``python benchmarks/peers/install.py``.

All at once; where that fails, one by one, and those that could not be had are named. The benchmarks name them again in
their tables: nothing is dropped silently.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def pip(*arguments: str) -> bool:
    """Whether pip could do it."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *arguments]
    return subprocess.run(command).returncode == 0


def main() -> int:
    if pip("-r", str(REQUIREMENTS)):
        return 0
    lines = [line.split("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines()]
    absent = [line for line in lines if line and not pip(line)]
    print(f"peers that could not be installed: {', '.join(absent) or 'none'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
