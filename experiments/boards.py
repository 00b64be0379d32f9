"""Which board the user means, of those that runs were evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from db import reads
from db.recording import box_labels

Board = tuple[str, ...]
"""Values of `reads.BOARD`."""


def is_meant(board: Board, wanted: Mapping[str, str]) -> bool:
    """Return whether a board has the values that the user names, of some columns of `reads.BOARD`;
    a box protocol stands for the boxes of it."""
    of = dict(zip(reads.BOARD, board, strict=True))
    return all(
        value == of[column] or (column == "box" and value == box_labels.protocol(of[column]))
        for column, value in wanted.items()
    )


def what_to_add(boards: Sequence[Board]) -> str:
    """Return what several boards differ in, and the option by which one of them is meant:
    "(dataset 300w, cofw): add --dataset NAME"."""
    values = dict(zip(reads.BOARD, map(set, zip(*boards, strict=True)), strict=True))
    column = next(name for name in ("subset", *reads.BOARD) if len(values[name]) > 1)
    names = ", ".join(sorted(values[column]))
    return f"({column} {names}): add --{column} NAME"


def as_text(board: Board) -> str:
    """Return a board for people: "300w helen (landmarks all, box gt)"."""
    dataset, subset, landmarks, box = board
    return f"{dataset} {subset} (landmarks {landmarks}, box {box})"


def asked(wanted: Mapping[str, str]) -> str:
    """Return what the user names for people: " with subset helen, box gt"; "" for nothing."""
    named = ", ".join(f"{column} {value}" for column, value in wanted.items())
    return f" with {named}" if named else ""
