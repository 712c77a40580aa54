"""Run every benchmark (``bench_*.py`` here), or those named, and add their figures to the history.

``python -m tests.benchmarks [log …] [--no-history]``. Each is a process of its own, so that memory and caches
of one do not colour the next. A benchmark prints one flat JSON object per case. What one benchmark alone
understands is passed on to it: ``python -m tests.benchmarks search --size 433000 --engine tantivy``.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.history import HISTORY, append, conditions, figures

SECONDS_MAX = 1_800


def main() -> int:
    """Return the number of benchmarks that failed."""
    known = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of: {', '.join(known)}")
    parser.add_argument("--no-history", action="store_true", help="print only")
    chosen, passed_on = parser.parse_known_args()
    names = [name if name.startswith("bench_") else f"bench_{name}" for name in chosen.names]
    if passed_on and len(names) != 1:
        parser.error(f"name the one benchmark that {' '.join(passed_on)} is for")
    if unknown := set(names) - set(known):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    failed = 0
    for name in names or known:
        measured = conditions()
        print(f"== {name}, load {measured['load']}", flush=True)
        try:
            result = subprocess.run(
                [sys.executable, "-m", f"tests.benchmarks.{name}", *passed_on],
                stdout=subprocess.PIPE,
                text=True,
                check=False,
                timeout=SECONDS_MAX,
            )
        except subprocess.TimeoutExpired:
            print(f"{name} was stopped after {SECONDS_MAX} s", flush=True)
            failed += 1
            continue
        print(result.stdout, end="", flush=True)
        failed += result.returncode != 0
        if result.returncode == 0 and not chosen.no_history:
            append(HISTORY, measured, list(figures(name, result.stdout)))
    return failed


if __name__ == "__main__":
    sys.exit(main())
