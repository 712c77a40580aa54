"""A small portal on loopback whose files a test can change, with a counter of requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

__all__ = ["FileServer", "csv_of", "run_file_server"]


@dataclass
class FileServer:
    """``files`` are served by path, as CSV; anything else is a 404."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    requests: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def csv_of(rows: int) -> bytes:
    """A table of so many rows, the same at each call."""
    lines = [f"{number},town {number % 7},{number * 3}" for number in range(rows)]
    return "\n".join(["id,town,amount", *lines, ""]).encode()


@contextmanager
def run_file_server() -> Iterator[FileServer]:
    """Serve until the block ends."""
    portal = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            portal.requests += 1
            content = portal.files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Keep quiet: a test that kills its clients hears of broken pipes otherwise."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    portal.port = server.server_port
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield portal
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
