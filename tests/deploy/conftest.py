"""An environment without settings, so that only those of the files under test count."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every ``NUTMEG_…`` variable away."""
    for name in list(os.environ):
        if name.startswith("NUTMEG_"):
            monkeypatch.delenv(name)
