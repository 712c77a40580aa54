"""``python -m tests.servers``: start the three servers, print their addresses, stop them on Ctrl-C.

Name some to start only those: ``python -m tests.servers kafka postgres``.
"""

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.servers.jars import cache_directory
from tests.servers.missing import ServerMissingError
from tests.servers.processes import ServerError
from tests.servers.sharing import KINDS, AnyServer, keep

SETTINGS = {
    "kafka": "NUTMEG_KAFKA_BOOTSTRAP_SERVERS",
    "elasticsearch": "NUTMEG_CATALOG_ELASTICSEARCH_URL",
    "postgres": "NUTMEG_DATABASE_URL",
}


def main() -> int:
    """Serve until told to stop."""
    if sys.argv[1:2] == ["keep"]:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        keep(sys.argv[2], Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="server", help=f"of: {', '.join(KINDS)}; all by default")
    kinds = parser.parse_args().kinds or list(KINDS)
    if unknown := set(kinds) - KINDS.keys():
        parser.error(f"no server is called {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _serve(kinds)
    except KeyboardInterrupt:
        return 0
    except (ServerMissingError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(kinds: list[str]) -> None:
    with ExitStack() as closing:
        servers: dict[str, AnyServer] = {}
        for kind in kinds:
            print(f"starting {kind} …", file=sys.stderr, flush=True)
            servers[kind] = KINDS[kind](cache_directory())
            closing.callback(servers[kind].close)
            servers[kind].start()
        for kind, server in servers.items():
            print(f"{kind:<14} {server.address}")
        print(" ".join(f"{SETTINGS[kind]}={server.address}" for kind, server in servers.items()), flush=True)
        print("Ctrl-C stops them.", file=sys.stderr, flush=True)
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
