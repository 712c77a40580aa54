"""What the demo remembers between runs, in ``demo.json`` of its data directory."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.host.sample.degradations import check_names
from shared.clock import SimulatedClock
from shared.errors import InvalidInputError, NutmegError

__all__ = ["DemoClock", "DemoState", "DemoStateFile"]

ADVANCE_MAX = timedelta(days=366)


class DemoState(BaseModel):
    """``today`` is fixed at the first start, so that the sample stays the same on every run after it.

    ``port`` stands in the addresses of the sample's files. ``degraded`` names the faults turned on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    today: date
    port: int
    is_loaded: bool = False
    clock_offset_seconds: float = 0.0
    degraded: frozenset[str] = frozenset()
    degraded_at: datetime | None = None


class DemoStateFile:
    """Holds the state and writes every change down before it counts."""

    def __init__(self, path: Path, state: DemoState) -> None:
        self._path = path
        self.state = state

    @classmethod
    def find(cls, path: Path) -> "DemoStateFile | None":
        """Read the file; ``None`` if the directory is no demo's. Raises ``NutmegError`` for a broken file."""
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        try:
            state = DemoState.model_validate_json(text)
            check_names(state.degraded)
        except (ValidationError, ValueError) as error:
            raise NutmegError(
                f"{path} cannot be read ({error.__class__.__name__}); start again with: nutmeg demo --fresh"
            ) from error
        return cls(path, state)

    @classmethod
    def create(cls, path: Path, *, port: int) -> "DemoStateFile":
        """Make this a demo's directory."""
        file = cls(path, DemoState(today=datetime.now(UTC).date(), port=port))
        file.change()
        return file

    def change(self, **changes: object) -> None:
        """Replace fields, durably."""
        state = self.state.model_copy(update=changes)
        beside = self._path.with_name(f".{self._path.name}.new")
        with beside.open("w") as out:
            out.write(state.model_dump_json() + "\n")
            out.flush()
            os.fsync(out.fileno())
        beside.replace(self._path)
        self.state = state


class DemoClock(SimulatedClock):
    """A clock that remembers how far it was moved."""

    def __init__(self, file: DemoStateFile, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(now() + timedelta(seconds=file.state.clock_offset_seconds))
        self._file = file

    def advance(self, by: timedelta) -> None:
        """Move forward, at most by a year. Raises ``InvalidInputError``."""
        if by > ADVANCE_MAX:
            raise InvalidInputError(
                f"The demo's clock is moved by at most {ADVANCE_MAX.days} days at once, not {by}.",
                field="seconds",
            )
        super().advance(by)
        self._file.change(clock_offset_seconds=self._file.state.clock_offset_seconds + by.total_seconds())
