"""Options and arguments that several commands share, and the old names of options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from drf.config import describe_keys, nearest, sections_of
from drf.errors import UsageError
from drf.files import user_path

OLD_OPTIONS = {
    "train": {"--points": "--landmarks"},
    "eval": {"--flip": "--flip-test", "--no-flip": "--no-flip-test"},
    "leaderboard": {"--points": "--landmarks"},
    "data pack": {
        "--limit": "--max-faces",
        "--size": "--synthetic-train-size",
        "--seed": "--synthetic-seed",
    },
}
"""Command -> its options of version 0.1.0 -> what they are called today. Help does not show the old
names, but every command still takes them."""


def old_names(command: str) -> dict[str, Any]:
    """Return the context settings under which a command takes its OLD_OPTIONS too."""
    today = {old[2:]: new[2:] for old, new in OLD_OPTIONS[command].items()}
    return {"token_normalize_func": lambda token: today.get(token, token)}


_KEYS = {info.name: info for info in describe_keys(sections_of(None))}


def choices(key: str) -> str:
    """Return the choices of a configuration key as help shows them: "auto|cpu|cuda"."""
    return "|".join(_KEYS[key].choices)


def of_key(name: str, *names: str, metavar: str | None = None) -> Any:
    """Return the option that sets a configuration key; its help is the sentence of the key.

    names    of the option, where they do not follow from the parameter
    metavar  what stands for the value; choices stand for themselves
    """
    return typer.Option(*names, metavar=choices(name) or metavar, help=_KEYS[name].sentence)


Db = Annotated[
    Path,
    typer.Option(
        "--db",
        envvar="DRF_DB",
        metavar="FILE",
        parser=user_path,
        help="The store, a single SQLite file.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document instead of tables and text.")
]
Baseline = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        show_default="the setting that most others differ from in one key",
        help="Run that the others are compared with: name, or beginning of its id.",
    ),
]
Norm = Annotated[
    str | None,
    typer.Option(
        metavar="NORM",
        show_default="the first that the board has",
        help="Normaliser of the errors: ocular, pupil, box.",
    ),
]
Latex = Annotated[
    bool, typer.Option("--latex", help="Print a table of LaTeX (booktabs) instead of text.")
]
OldOutput = Annotated[
    str, typer.Option("--output", hidden=True, help="Form of the table: text, json or latex.")
]
"""Said --json and --latex in one option, in two commands; hidden, and still taken."""

_FORMS = ("text", "json", "latex")


def form(as_json: bool, as_latex: bool, old: str) -> str:
    """Return in which form a table is printed: text, json or latex; old: `OldOutput`. Raises
    UsageError for one that no table has, and for two."""
    if old not in _FORMS:
        raise UsageError(f"--output takes one of {', '.join(_FORMS)}{nearest(old, _FORMS)}")
    asked = {"json": as_json or old == "json", "latex": as_latex or old == "latex"}
    if all(asked.values()):
        raise UsageError("--json and --latex exclude each other: standard output is one of them")
    return next((name for name, said in asked.items() if said), "text")


Run = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Name of a run, or the first characters of its id."),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        show_default="variable DRF_AUTHOR, else the account's name",
        help="Who writes this.",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        envvar="DRF_DATA",
        metavar="DIR",
        parser=user_path,
        help="Folder of the dataset, e.g. data/300w.",
    ),
]
_OF_BOARD = {
    "dataset": ("NAME", "Dataset of the subset."),
    "box": (
        f"{choices('data.box')}|NAME",
        "Box protocol of the predictions, or boxes by the name that the board has.",
    ),
    "landmarks": ("NAME", "Landmark subset of the predictions, e.g. all or eyes."),
}


def of_board(column: str, default: str) -> Any:
    """Return the option for a column of the board whose stored predictions are meant."""
    metavar, text = _OF_BOARD[column]
    return typer.Option(metavar=metavar, show_default=default, help=text)


def named(**columns: str | None) -> dict[str, str]:
    """Return the columns that the user names."""
    return {column: value for column, value in columns.items() if value is not None}


BoxFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        parser=user_path,
        help="CSV file with the columns name, x, y, w, h; needed by the box protocol file.",
    ),
]
BoxName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        show_default="the name of the box file",
        help="What the leaderboard calls the boxes of the box file, e.g. mtcnn.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        envvar="DRF_CACHE",
        metavar="DIR",
        parser=user_path,
        show_default="runs/cache",
        help="Folder for packed face crops.",
    ),
]
