"""Serving the style sheet, script and drawings of the pages, cached for as long as they do not change."""

import functools
import hashlib
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC_DIRECTORY: Final = Path(__file__).parent / "static"
STATIC_PATH: Final = "/static"

_HASH_CHARACTERS = 12
_CACHE_FOR_EVER = "public, max-age=31536000, immutable"
_CACHE_AFTER_CHECK = "no-cache"


@functools.lru_cache(maxsize=64)
def content_hash(name: str) -> str:
    """Give the first characters of the SHA-256 of a static file.

    Raises FileNotFoundError that lists the files there are.
    """
    path = STATIC_DIRECTORY / name
    if not path.is_file():
        names = ", ".join(sorted(entry.name for entry in STATIC_DIRECTORY.iterdir()))
        raise FileNotFoundError(f"No static file is called {name!r}. There are: {names}.")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_CHARACTERS]


def static_url(name: str) -> str:
    """Give the address of a static file with its content hash, so that a new version is a new address."""
    return f"{STATIC_PATH}/{name}?v={content_hash(name)}"


class HashedStaticFiles(StaticFiles):
    """Static files that are cached for ever under their hashed address, and checked under any other."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("v", [""])[0]
        is_current = response.status_code < 400 and asked == content_hash(path)
        response.headers["cache-control"] = _CACHE_FOR_EVER if is_current else _CACHE_AFTER_CHECK
        response.headers["x-content-type-options"] = "nosniff"
        return response


def mount_static(app: Starlette) -> None:
    """Serve the files of the pages under ``/static``. FastAPI applications are Starlette ones."""
    app.mount(STATIC_PATH, HashedStaticFiles(directory=STATIC_DIRECTORY), name="static")
