"""Names that options had in version 0.1.0 still work, and help shows the new ones alone."""

from __future__ import annotations

from typing import Any

import pytest
import typer

import cli.main
from cli.options import OLD_OPTIONS

OF_VERSION_0_1_0 = {
    "train": {"--points": ("eyes", "landmarks", "eyes")},
    "eval": {"--flip": (None, "flip_test", True), "--no-flip": (None, "flip_test", False)},
    "leaderboard": {"--points": ("mouth", "landmarks", "mouth")},
    "data pack": {
        "--limit": ("7", "max_faces", 7),
        "--size": ("300", "synthetic_train_size", 300),
        "--seed": ("3", "synthetic_seed", 3),
    },
}
"""Command -> old option -> (value given, parameter today, its value)."""

REQUIRED = {"eval": ["run"]}


def command_of(words: str) -> Any:
    command: Any = typer.main.get_command(cli.main.app)
    for word in words.split():
        command = command.commands[word]
    return command


@pytest.mark.parametrize(
    ("words", "old"), [(words, old) for words, olds in OF_VERSION_0_1_0.items() for old in olds]
)
def test_an_old_option_sets_what_it_always_set(words: str, old: str) -> None:
    value, parameter, expected = OF_VERSION_0_1_0[words][old]
    given = [old] if value is None else [f"{old}={value}"]
    context = command_of(words).make_context(words, REQUIRED.get(words, []) + given)
    assert context.params[parameter] == expected
    with_space = [*REQUIRED.get(words, []), old, *([] if value is None else [value])]
    assert command_of(words).make_context(words, with_space).params[parameter] == expected


def test_the_table_is_whole_and_its_new_names_exist() -> None:
    assert {w: set(olds) for w, olds in OLD_OPTIONS.items()} == {
        w: set(olds) for w, olds in OF_VERSION_0_1_0.items()
    }
    for words, olds in OLD_OPTIONS.items():
        known = {
            name
            for parameter in command_of(words).params
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(olds.values()) <= known
        assert not set(olds) & known  # hidden: help does not know them


def test_an_old_name_of_one_command_is_not_one_of_another() -> None:
    context = command_of("train").make_context("train", ["--seed", "5"])
    assert context.params["seed"] == 5
