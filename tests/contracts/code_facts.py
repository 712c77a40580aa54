"""What the documentation must mention, found in the code: settings and commands."""

import importlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import typer
from pydantic_core import to_jsonable_python
from pydantic_settings import BaseSettings

from tests.architecture.project import CODE, module_name, python_files

COMMAND_LINE = "services.host.cli.app"


@dataclass(frozen=True)
class SettingsField:
    """One setting as an operator writes it."""

    variable: str
    default: str
    description: str

    @property
    def row(self) -> str:
        """The line for the table in docs/operations.md."""
        return f"| `{self.variable}` | {self.default} | {self.description} |"


def settings_fields() -> list[SettingsField]:
    """Return every field of every settings class, by its environment variable."""
    fields = []
    for path in python_files(*CODE):
        if path.name.endswith("settings.py"):
            fields += _fields_of(importlib.import_module(module_name(path)))
    return fields


def commands() -> list[str]:
    """Return every command of the typer ``app``, like ``nutmeg dlq list``; none while there is no module."""
    if find_spec(COMMAND_LINE) is None:
        return []
    application = importlib.import_module(COMMAND_LINE).app
    return sorted(_leaves(typer.main.get_command(application), "nutmeg"))


def _fields_of(module: ModuleType) -> list[SettingsField]:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__
    ]
    return [
        SettingsField(
            f"{settings.model_config.get('env_prefix', '')}{name}".upper(),
            "required"
            if field.is_required()
            else f"`{_as_written(field.get_default(call_default_factory=True))}`",
            field.description or "",
        )
        for settings in classes
        for name, field in settings.model_fields.items()
        if name in settings.__annotations__  # what is inherited is told where it stands
    ]


def _as_written(value: Any) -> str:
    """Return a default as an operator would write it: text as it is, all else as JSON."""
    plain = to_jsonable_python(sorted(value) if isinstance(value, frozenset | set) else value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _leaves(command: Any, path: str) -> list[str]:
    children = getattr(command, "commands", {})
    below = [leaf for name, child in children.items() for leaf in _leaves(child, f"{path} {name}")]
    runs_alone = not children or getattr(command, "invoke_without_command", False)
    return below + ([path] if runs_alone and path != "nutmeg" else [])
