"""Fetches the servers' jars with Maven, once; they are kept by the text of their ``pom.xml``."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.missing import ServerMissingError, require_program

__all__ = ["cache_directory", "fetch_jars", "package_jar"]

HERE = Path(__file__).parent
FETCH_SECONDS_MAX = 600
COMPLETE = "complete"


def cache_directory() -> Path:
    """Return where jars are kept between runs."""
    return Path(os.environ.get("NUTMEG_SERVERS_CACHE") or Path.home() / ".cache" / "nutmeg-servers")


def fetch_jars(pom: str, cache: Path) -> list[Path]:
    """Return the jars that ``pom`` (a file name in this folder) and all its dependencies come to."""
    folder = _made(pom, cache, ["dependency:copy-dependencies", "-DoutputDirectory=lib"])
    return sorted((folder / "lib").glob("*.jar"))


def package_jar(pom: str, cache: Path) -> Path:
    """Return the one jar that ``pom`` packages."""
    folder = _made(pom, cache, ["package"])
    (jar,) = [path for path in (folder / "target").glob("*.jar") if not path.name.startswith("original-")]
    return jar


def _made(pom: str, cache: Path, goals: list[str]) -> Path:
    """Run Maven for ``pom`` unless that has succeeded before; processes at the same time wait for one."""
    text = (HERE / pom).read_bytes()
    folder = cache / f"{pom.removesuffix('.pom.xml')}-{hashlib.sha256(text).hexdigest()[:12]}"
    if (folder / COMPLETE).exists():
        return folder
    maven = require_program("mvn", "maven")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "fetching.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / COMPLETE).exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "pom.xml").write_bytes(text)
        command = [maven, "-B", "-q", *goals]
        result = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS_MAX,
            check=False,
        )
        if result.returncode != 0:
            raise ServerMissingError(f"Maven could not fetch what {pom} names:\n{result.stdout[-2000:]}")
        (folder / COMPLETE).touch()
    return folder
