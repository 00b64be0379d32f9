"""What to type after a run that did not end in order: go on with it, or start it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.file import on_store, run_folder
from db.status import WITHOUT_MODEL
from drf.files import BEST, LAST, without_folders

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
        resume = on_store(f"drf train --resume {run['id'][:8]}", store)
        return NextStep("Go on from its last checkpoint:", resume)
    again = command(run)
    if again is None:
        return NextStep("It has no checkpoint to go on from: train it again.")
    return NextStep("It has no checkpoint to go on from; start again:", on_store(again, store))


def evaluation(run: Mapping[str, Any], store: Path) -> NextStep:
    """Return what to do about a run that was not evaluated."""
    if run["status"] == "running":
        return NextStep("Evaluate it when it has finished.")
    if not (run_folder(store, run["id"]) / BEST).is_file():
        return NextStep("It has no checkpoint to evaluate beside the store.")
    return NextStep("Evaluate it:", on_store(f"drf eval {run['id'][:8]}", store))


def command(run: Mapping[str, Any]) -> str | None:
    """Return the command line that a run was started by, without what belongs to the machine that
    it ran on: the folders before a file's own name (which runs of earlier versions have stored),
    which store it went to, and how it printed.

    None if no command was stored, or one that no shell would read.
    """
    made = run["provenance"].get("command")
    if not made:
        return None
    try:
        words = shlex.split(made) if isinstance(made, str) else [str(word) for word in made]
    except ValueError:
        return None
    kept, skip = [], False
    for word in words:
        if skip or word in _OF_THIS_MACHINE or word.partition("=")[0] in _WITH_VALUE:
            skip = not skip and word in _WITH_VALUE
            continue
        kept.append(without_folders(word))
    return shlex.join(kept)


def repeat(run: Mapping[str, Any]) -> str | None:
    """Return the commands that make a run again on any machine, a line each: the commit, the
    training, the evaluation; of a run without a model (`db.status`) the one command that made all
    of it. None where its command is not known."""
    again = command(run)
    if again is None:
        return None
    commit = run["provenance"].get("git_commit")
    if run["family"] in WITHOUT_MODEL:
        return again
    first = [f"git checkout {str(commit)[:8]}"] if commit else []
    return "\n".join([*first, again, f"drf eval {shlex.quote(run['name'])}"])


_OF_THIS_MACHINE, _WITH_VALUE = ("--json",), ("--db",)
