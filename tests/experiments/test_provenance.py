"""What is stored of the command that made a run."""

from __future__ import annotations

import pytest

from db import next_step
from experiments import provenance
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("words", "stored"),
    [
        (["train", "hourglass", "--seed", "0"], "drf train hourglass --seed 0"),
        (["train", "--data-root", "/home/alice/300w"], "drf train --data-root PATH/300w"),
        (["train", "--data-root=/home/alice/300w"], "drf train --data-root=PATH/300w"),
        (["train", "--data-root", "~/alice/300w"], "drf train --data-root PATH/300w"),
        (["train", "--data-root", "data/300w"], "drf train --data-root data/300w"),
        (["train", "--box-file", r"C:\Users\alice\b.csv"], "drf train --box-file PATH/b.csv"),
        (["train", "--db", "/home/alice/a b.db"], "drf train --db 'PATH/a b.db'"),
        (["train", "--name", "a\x1b"], r"drf train --name 'a\x1b'"),
    ],
)
def test_the_stored_command_has_no_folder_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, words: list[str], stored: str
) -> None:
    monkeypatch.setattr("sys.argv", ["/home/alice/.venv/bin/drf", *words])
    assert provenance.command() == stored
    monkeypatch.setattr("sys.argv", [str(REPOSITORY / "benchmarks/contest/__main__.py"), *words])
    assert provenance.command() == stored.replace("drf", "python -m benchmarks.contest", 1)


@pytest.mark.parametrize("folder", ["/home/alice", "~/alice", r"C:\Users\alice"])
def test_what_is_shown_of_a_run_is_the_same_as_of_runs_of_earlier_versions(
    monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """They have stored the folders, which are left out where the command is shown."""
    slash = "\\" if "\\" in folder else "/"
    words = [
        "drf",
        "train",
        "x",
        "--data-root",
        f"{folder}{slash}300w",
        "--db",
        f"{folder}{slash}s",
    ]
    monkeypatch.setattr("sys.argv", words)
    shown = [
        next_step.command({"provenance": {"command": command}})
        for command in (words, provenance.command())
    ]
    assert shown == ["drf train x --data-root PATH/300w"] * 2
