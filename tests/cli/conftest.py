from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cli.main
from tests.db.examples import copied, filled_store


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Drf = Callable[..., Answer]


@pytest.fixture
def drf(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Drf:
    """Run `drf ARGUMENTS` on the store tmp_path/drf.db as the installed command does."""
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr("sys.argv", ["drf", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main.main()
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, *capsys.readouterr())

    return call


@pytest.fixture
def filled(tmp_path: Path) -> list[str]:
    """Four runs in the store that `drf` uses; their ids, the mean shape's first."""
    return copied(filled_store, tmp_path / "drf.db")
