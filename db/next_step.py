"""What to type after a run that did not end in order: go on with it, or start it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.file import run_folder
from drf.files import BEST, LAST

_CUT_OFF = ("crashed", "interrupted", "failed")


@dataclass(frozen=True)
class NextStep:
    """sentence: ends with a colon where a command follows · command: for a shell, or None."""

    sentence: str
    command: str | None = None

    def text(self) -> str:
        """Return both on one line."""
        return f"{self.sentence} {self.command}" if self.command else self.sentence


def after(run: Mapping[str, Any], store: Path) -> NextStep | None:
    """Return how a run that was cut off goes on: from its last checkpoint, or where it has none by
    the command that started it. None of any other run (of `reads.run`)."""
    if run["status"] not in _CUT_OFF:
        return None
    if (run_folder(store, run["id"]) / LAST).is_file():
        return NextStep("Go on from its last checkpoint:", f"drf train --resume {run['id'][:8]}")
    again = command(run)
    if again is None:
        return NextStep("It has no checkpoint to go on from: train it again.")
    return NextStep("It has no checkpoint to go on from; start again:", again)


def evaluation(run: Mapping[str, Any], store: Path) -> NextStep:
    """Return what to do about a run that was not evaluated."""
    if run["status"] == "running":
        return NextStep("Evaluate it when it has finished.")
    if not (run_folder(store, run["id"]) / BEST).is_file():
        return NextStep("It has no checkpoint to evaluate beside the store.")
    return NextStep("Evaluate it:", f"drf eval {run['id'][:8]}")


def command(run: Mapping[str, Any]) -> str | None:
    """Return the command line that a run was started by, None if it was not stored."""
    made = run["provenance"].get("command")
    if not made:
        return None
    return made if isinstance(made, str) else shlex.join(str(word) for word in made)
