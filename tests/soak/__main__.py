"""``python -m tests.soak PART``: hold Nutmeg to long and heavy use on real servers; results go to a CSV."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tests.soak.brokers import run_brokers
from tests.soak.index import run_index
from tests.soak.results import Findings, append_results
from tests.soak.showing import Shown, showing
from tests.soak.steady import run_steady

HERE = Path(__file__).parent
Part = Callable[[Shown], Findings]


def main() -> int:
    """Run the parts that are asked for; return how many failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help="of: index, steady, brokers; all by default")
    parser.add_argument("--minutes", type=float, default=60.0, help="steady: how long. Default: %(default)s")
    parser.add_argument("--datasets", type=int, default=433_000, help="index: how many. Default: %(default)s")
    parser.add_argument(
        "--broker-minutes", type=float, default=5.0, help="brokers: how long. Default: %(default)s"
    )
    parser.add_argument("--output", type=Path, default=HERE, help="folder that results are written to")
    chosen = parser.parse_args()
    parts: dict[str, Part] = {
        "index": lambda shown: run_index(chosen.datasets, shown),
        "steady": lambda shown: run_steady(chosen.minutes, chosen.output, shown),
        "brokers": lambda shown: run_brokers(chosen.broker_minutes, shown),
    }
    if unknown := set(chosen.parts) - parts.keys():
        parser.error(f"no part is called {', '.join(sorted(unknown))}; known: {', '.join(parts)}")
    chosen.output.mkdir(parents=True, exist_ok=True)  # not after an hour's run
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed = 0
    for name in chosen.parts or parts:
        with showing(name) as shown:
            found = parts[name](shown)
        _print(found)
        append_results(chosen.output / "results.csv", found)
        failed += bool(found.failures)
    return failed


def _print(found: Findings) -> None:
    for figure in found.figures:
        print(f"{found.part:<8} {figure.figure:<50} {figure.value:>14,.6g} {figure.unit}")
    for failure in found.failures:
        print(f"{found.part:<8} FAILED {failure}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
