"""Import every module that is named on standard input, and print what any of them did to the outside.

Run as a process of its own: an audit hook (PEP 578) cannot be taken off again.
"""

import importlib
import re
import sys
import threading
from pathlib import Path
from typing import Any

_FORBIDDEN = frozenset(
    {
        "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.system", "shutil.rmtree", "socket.bind",
        "socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen", "os.fork",
    }
)  # fmt: skip
_WRITES = 0o1 | 0o2  # os.O_WRONLY | os.O_RDWR
_CODE = frozenset({".py", ".pyc"})
_FOREIGN = re.compile(r"/\.venv/|\.egg-info/|__editable__")


def main() -> None:
    root = Path(sys.argv[1]).resolve()
    current = ""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _FORBIDDEN:
            print(f"{current}: {event} {arguments!r}")
        elif event == "open" and isinstance(arguments[0], str | bytes):
            path = Path(arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0])
            writes = isinstance(arguments[2], int) and arguments[2] & _WRITES
            own = root in path.absolute().parents and not _FOREIGN.search(str(path))
            if writes or (own and path.suffix not in _CODE):
                print(f"{current}: open {path.name}")

    def start(self: threading.Thread) -> None:
        print(f"{current}: started thread {self.name}")

    # No audit event tells of threads before Python 3.12.
    setattr(threading.Thread, "start", start)  # noqa: B010 - mypy forbids the plain assignment
    sys.addaudithook(watch)
    for name in sys.stdin.read().split():
        current = name
        importlib.import_module(name)


if __name__ == "__main__":
    main()
