"""What may stand in the columns of a store, and the rows of a file that contain something else.

Tables are STRICT and have CHECKs, but whoever makes a file can switch these off. Here every rule is
looked up row by row: SQL for what SQLite can tell, a function of Python for what is read by Python,
so that a value is sound if and only if it can be read. `faults` is for `drf db check`, and for
`integrity.explain`, which looks why something failed: a command or page does not check what it
reads, which would take longer than to read it.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from db import file
from db.arrays import affine_from_blob
from db.recording import words
from db.recording.saved_links import parse_link
from db.status import ENDED
from db.tables.schema import Fault, printable
from drf.data.crops import decode_jpeg
from drf.errors import DrfError
from drf.landmarks.markup import Markup

PER_TABLE = 100
"""At most so many rows of a table are listed."""

_LONGEST = 1000  # characters of a name; what has a free shape may be longer
_FLAT = 1e-9  # determinant of a map of crop px to picture px; of ours it is some hundredths
_MOST_BYTES = 2**24
_LARGEST = 2**53  # the integers that JSON, JavaScript and float64 hold exactly


def _reads(read: Callable[..., object]) -> Callable[..., bool]:
    """Return whether a function reads its arguments without an error, as a function for SQL."""

    def can(*arguments: object) -> bool:
        try:
            read(*arguments)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, DrfError):
            return False
        return True

    return can


def _text(stored: bytes) -> None:
    if "\0" in stored.decode():
        raise ValueError("NUL ends the text for SQLite and not for Python")


def _json(stored: str, kind: type | tuple[type, ...] = object) -> Any:
    value = json.loads(stored)
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # no half of a surrogate pair
    if not isinstance(value, kind):
        raise TypeError("another kind of value")
    return value


def _object(stored: str) -> None:
    _json(stored, dict)


def _list(stored: str) -> None:
    _json(stored, list)


def _provenance(stored: str) -> None:
    held = _json(stored, dict)
    for key in ("device", "precision", "git_commit", "git_diff"):
        if not isinstance(held.get(key), str | None):
            raise TypeError(f"{key} is no text")


def _manifest(stored: str) -> None:
    if not isinstance(_json(stored, dict).get("digest"), str | None):
        raise TypeError("the digest is no text")


def _markup(stored: str, name: str) -> None:
    if Markup.from_dict(_json(stored, dict)).name != name:
        raise ValueError("the definition is that of another markup")


def _line(stored: str) -> None:
    words.checked_line(stored, "it")


def _tag(stored: str) -> None:
    if not words.is_tag(stored):
        raise ValueError("no tag")


def _indices(stored: str) -> None:
    if not all(type(index) is int and index >= 0 for index in _json(stored, list)):
        raise ValueError("not a list of landmarks")


def _extent(stored: str) -> None:
    left, top, right, bottom = map(float, _json(stored, list))
    if not math.isfinite(left + top + right + bottom) or left >= right or top >= bottom:
        raise ValueError("no extent")


def _floats(kind: str) -> Callable[[bytes], None]:
    """Return what reads floats, none of which is infinite; NaN is missing."""

    def read(stored: bytes) -> None:
        if np.isinf(np.frombuffer(stored, kind)).any():
            raise ValueError("infinite")

    return read


def _map(stored: bytes) -> None:
    matrix = affine_from_blob(stored)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < _FLAT:
        raise ValueError("no map that can be inverted")


_READ: dict[str, tuple[int, Callable[..., object]]] = {
    "is_text": (1, _text),
    "is_json": (1, _json),
    "is_object": (1, _object),
    "is_list": (1, _list),
    "is_time": (1, file.time_of),
    "is_provenance": (1, _provenance),
    "is_manifest": (1, _manifest),
    "is_markup": (2, _markup),
    "is_indices": (1, _indices),
    "is_extent": (1, _extent),
    "is_link": (1, parse_link),
    "is_note": (1, words.checked_note),
    "is_line": (1, _line),
    "is_tag": (1, _tag),
    "are_points": (1, _floats("<f4")),
    "are_errors": (1, _floats("<f8")),
    "is_map": (1, _map),
    "is_crop": (1, decode_jpeg),
}
"""Functions for SQL -> how many arguments they take, and what fails for a value that is none."""

_STATES = ", ".join(f"'{state}'" for state in ("running", *ENDED))
_NOT_HEX = "length({0}) != 32 OR {0} GLOB '*[^0-9a-f]*'"
_NO_TIME = "NOT is_time({0})"
_NO_JSON = "NOT json_valid({0}) OR NOT "
_NO_SHARE = "NOT {0} BETWEEN 0 AND 1"
_NO_NUMBER = "NOT {0} BETWEEN 1 AND 2147483647"
_NOT_POINTS = "length({0}) % 8 = 0 AND NOT are_points({0})"  # its size is another check's
_NO_LINE = "NOT is_line({0})"
_SHARE, _TIME = "is not between 0 and 1", "is no time with its zone"
_LINE = "is no single line of text: too long, or with controls"
_RULES: dict[tuple[str, str], tuple[str, str]] = {
    ("runs", "id"): (_NOT_HEX, "is not made of 32 hex digits"),
    ("runs", "provenance"): (
        f"{_NO_JSON} is_provenance({{0}})",
        "is not a JSON object of a provenance",
    ),
    ("runs", "manifest"): (f"{_NO_JSON} is_manifest({{0}})", "is not a JSON object of a manifest"),
    ("runs", "state"): (f"{{0}} NOT IN ({_STATES})", "is no state of a run"),
    ("runs", "pid"): (_NO_NUMBER, "is not the number of a process"),
    ("runs", "started_at"): (_NO_TIME, _TIME),
    ("runs", "heartbeat_at"): (_NO_TIME, _TIME),
    ("runs", "ended_at"): (_NO_TIME, _TIME),
    ("runs", "progress"): (_NO_SHARE, _SHARE),
    ("run_config", "value"): (f"{_NO_JSON} is_json({{0}})", "is not JSON"),
    ("markups", "definition"): (
        f"{_NO_JSON} is_markup({{0}}, name)",
        "is not the definition of that markup in JSON",
    ),
    ("faces", "points"): (_NOT_POINTS, "contains an infinite coordinate"),
    ("faces", "crop"): ("NOT is_crop({0})", "is not a readable JPEG"),
    ("faces", "to_picture"): (
        "NOT is_map({0})",
        "is not a map of crop px to picture px",
    ),
    ("face_sets", "faces"): ("length({0}) % 8", "is not made of whole numbers of 8 bytes"),
    ("evaluations", "manifest"): (
        f"{_NO_JSON} is_manifest({{0}})",
        "is not a JSON object of a manifest",
    ),
    ("evaluations", "n"): ("{0} < 1", "is not positive"),
    ("evaluations", "flip_test"): ("{0} NOT IN (0, 1)", "is neither 0 nor 1"),
    ("evaluations", "created_at"): (_NO_TIME, _TIME),
    ("evaluations", "checkpoint"): (
        "{0} GLOB '*[/\\:]*' OR {0} IN ('', '.', '..')",
        "is not the name of a file",
    ),
    ("board_entries", "facts"): (f"{_NO_JSON} is_list({{0}})", "is not a list in JSON"),
    ("board_entries", "numbers"): (
        "length({0}) % 8 OR NOT are_errors({0})",
        "contains an infinite number, or part of one",
    ),
    ("predictions", "prediction"): (_NOT_POINTS, "contains an infinite coordinate"),
    ("epoch_predictions", "prediction"): (_NOT_POINTS, "contains an infinite coordinate"),
    ("error_vectors", "errors"): (
        "length({0}) % 8 OR NOT are_errors({0})",
        "contains an infinite error, or part of a number",
    ),
    ("leaf_galleries", "mean_shape"): (_NOT_POINTS, "contains an infinite coordinate"),
    ("leaves", "landmarks"): (f"{_NO_JSON} is_indices({{0}})", "is not a list of landmarks"),
    ("leaves", "extent"): (f"{_NO_JSON} is_extent({{0}})", "is not an extent of four numbers"),
    ("leaves", "points"): (_NOT_POINTS, "contains an infinite coordinate"),
    ("leaves", "std"): (_NOT_POINTS, "contains an infinite deviation"),
    ("leaves", "distribution"): (
        "length({0}) IS NOT 2 * height * width",
        "has not the size of its height and width",
    ),
    ("leaves", "share"): (_NO_SHARE, _SHARE),
    ("leaves", "height"): (_NO_NUMBER, "is not positive"),
    ("leaves", "width"): (_NO_NUMBER, "is not positive"),
    ("leaf_faces", "weight"): (_NO_SHARE, _SHARE),
    ("latencies", "p50_ms"): ("{0} <= 0", "is not positive"),
    ("latencies", "p90_ms"): ("{0} < p50_ms", "is less than p50_ms"),
    ("latencies", "threads"): (_NO_NUMBER, "is not positive"),
    ("latencies", "hardware"): (_NO_LINE, _LINE),
    ("latencies", "torch"): (_NO_LINE, _LINE),
    ("latencies", "measured_at"): (_NO_TIME, _TIME),
    ("sweeps", "created_at"): (_NO_TIME, _TIME),
    ("sweep_jobs", "job"): (_NOT_HEX, "is not made of 32 hex digits"),
    ("sweep_jobs", "factors"): (f"{_NO_JSON} is_object({{0}})", "is not a JSON object"),
    ("views", "link"): ("NOT is_link({0})", "is no link of the app"),
    ("views", "title"): (_NO_LINE, _LINE),
    ("views", "author"): (_NO_LINE, _LINE),
    ("views", "note"): (_NO_LINE, _LINE),
    ("views", "created_at"): (_NO_TIME, _TIME),
    ("notes", "text"): ("NOT is_note({0})", "is no note: blank, too long or with controls"),
    ("notes", "author"): (_NO_LINE, _LINE),
    ("notes", "created_at"): (_NO_TIME, _TIME),
    ("tags", "tag"): ("NOT is_tag({0})", "is no tag: blank, too long, with spaces or controls"),
    ("deletions", "run"): (_NOT_HEX, "is not made of 32 hex digits"),
    ("deletions", "deleted_at"): (_NO_TIME, _TIME),
}
"""Column -> when its value (`{0}`, not NULL, of its type) is wrong, and the sentence for that."""

_FREE = {"text", "provenance", "manifest", "definition", "value", "link", "reason"}
_FREE |= {"landmarks", "extent", "factors", "facts"}
_SIGNED = {"seed"}


def faults(con: sqlite3.Connection) -> Iterator[Fault]:
    """Yield the rows of a store that contain what no drf writes, PER_TABLE of a table at most.

    The schema must be ours. One fault a row: the first of its columns.
    """
    for name, (arguments, read) in _READ.items():
        con.create_function(name, arguments, _reads(read), deterministic=True)
    tables = con.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 1) != '_'"
        " AND substr(name, 1, 7) != 'sqlite_' ORDER BY name"
    )
    for (table,) in tables.fetchall():
        yield from _of_table(con, table)
    yield from _revision(con)


def _of_table(con: sqlite3.Connection, table: str) -> Iterator[Fault]:
    columns = con.execute(f"PRAGMA table_info({table})").fetchall()
    keys = [name for _, name, *_, place in sorted(columns, key=lambda c: c[-1]) if place]
    whens = " ".join(
        f"WHEN {wrong} THEN '{name} {problem}'"
        for _, name, kind, required, *_ in columns
        for wrong, problem in _conditions(table, name, kind, bool(required))
    )
    rows = con.execute(
        f"SELECT {', '.join(f'CAST({key} AS BLOB)' for key in keys)}, CASE {whens} END AS problem"
        f" FROM {table} WHERE problem IS NOT NULL LIMIT {PER_TABLE}"
    )
    for *key, problem in rows:
        yield Fault("contents", f"{table} {'/'.join(map(_shown, key))}", problem)


def _conditions(table: str, name: str, kind: str, required: bool) -> Iterator[tuple[str, str]]:
    """Yield when a column is wrong, as SQL, and the problem; each needs those before it."""
    if required:
        # SQLite takes IS NULL for false where the column is declared to be NOT NULL.
        yield f"typeof({name}) = 'null'", "is missing"
    if kind != "ANY":
        article = "an" if kind == "INTEGER" else "a"
        yield f"typeof({name}) NOT IN ('null', '{kind.lower()}')", f"is not {article} {kind}"
    if kind == "TEXT":
        # Most text is ASCII, which SQLite sees by itself.
        suspect = f"{name} GLOB '*[^ -~]*' OR length({name}) != length(CAST({name} AS BLOB))"
        yield f"({suspect}) AND NOT is_text(CAST({name} AS BLOB))", "is not text in UTF-8"
        if name not in _FREE:
            yield f"length({name}) > {_LONGEST}", f"has more than {_LONGEST} characters"
    if kind == "BLOB":
        yield f"length({name}) > {_MOST_BYTES}", f"has more than {_MOST_BYTES} bytes"
    if kind == "REAL":
        yield f"abs({name}) > 1.7976931348623157e308", "is infinite"
    if kind == "INTEGER" and name not in _SIGNED:
        yield f"NOT {name} BETWEEN 0 AND {_LARGEST}", f"is not between 0 and 2^{53}"
    if (table, name) in _RULES:
        wrong, problem = _RULES[table, name]
        yield f"{name} IS NOT NULL AND ({wrong.format(name)})", problem


def _revision(con: sqlite3.Connection) -> Iterator[Fault]:
    row = con.execute("SELECT typeof(value) FROM meta WHERE key = 'revision'").fetchone()
    if row != ("integer",):
        yield Fault("contents", "meta revision", "is not there, or not an INTEGER")


def _shown(key: bytes) -> str:
    """Return part of a key as one can print it."""
    return printable(key[:100].decode(errors="backslashreplace"))
