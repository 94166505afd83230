"""Runs every benchmark one after the other, each in a process of its own, and states the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Prints the tables of all benchmarks; arguments go to each."""
    import pysqlite3.dbapi2 as sqlite

    print(
        f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()},"
        f" SQLite {sqlite.sqlite_version}"
    )
    here = Path(__file__).parent
    for script in sorted(here.glob("bench_*.py")):
        print(f"\n### {script.stem}", flush=True)
        subprocess.run([sys.executable, script, *sys.argv[1:]], check=True)


if __name__ == "__main__":
    main()
