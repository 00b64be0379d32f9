"""The commands that repeat a run, without what belongs to the machine that it ran on."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import next_step
from db.file import DEFAULT_PATH, on_store


def of(command, **made):
    return {
        "name": "my run",
        "family": "hourglass",
        "provenance": {"command": command, **made},
    }


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("drf train hourglass --seed 0", "drf train hourglass --seed 0"),
        ("drf train --data-root /home/me/300w --json", "drf train --data-root PATH/300w"),
        ("drf train --data-root=/home/me/300w", "drf train --data-root=PATH/300w"),
        ("drf train --set data.root=/mnt/x/300w", "drf train --set data.root=PATH/300w"),
        ("drf train --db /home/me/a.db cascade-forest", "drf train cascade-forest"),
        ("drf train --db=/home/me/a.db cascade-forest", "drf train cascade-forest"),
        ("drf train --config '/home/my name/a b.toml'", "drf train --config 'PATH/a b.toml'"),
        (r"drf train --data-root 'C:\\faces\\300w'", "drf train --data-root PATH/300w"),
        ("drf train --data-root ~/300w", "drf train --data-root PATH/300w"),
        ("drf train --data-root data/300w", "drf train --data-root data/300w"),
        (["drf", "train", "--name", "a b"], "drf train --name 'a b'"),
    ],
)
def test_a_command_keeps_what_decides_the_run_and_no_folder_of_the_machine(written, shown):
    assert next_step.command(of(written)) == shown


@pytest.mark.parametrize("written", [None, "", "drf train 'without an end"])
def test_what_is_no_command_is_not_repeated(written):
    assert next_step.command(of(written)) is None
    assert next_step.repeat(of(written)) is None


def test_a_run_is_repeated_at_its_commit_and_evaluated():
    lines = next_step.repeat(of("drf train", git_commit="3f2a9c1e" * 5))
    assert lines == "git checkout 3f2a9c1e\ndrf train\ndrf eval 'my run'"
    assert next_step.repeat(of("drf train", git_commit=None)) == "drf train\ndrf eval 'my run'"


def test_a_command_names_a_store_that_is_not_the_usual_one(monkeypatch):
    lab = Path("my lab.db")
    monkeypatch.delenv("DRF_DB", raising=False)
    for usual in (DEFAULT_PATH, DEFAULT_PATH.absolute()):
        assert on_store("drf web", usual) == "drf web"
    assert on_store("drf web", lab) == "drf web --db 'my lab.db'"
    monkeypatch.setenv("DRF_DB", str(lab))
    assert on_store("drf web", lab) == "drf web"
    assert on_store("drf web", DEFAULT_PATH) == f"drf web --db {DEFAULT_PATH}"
