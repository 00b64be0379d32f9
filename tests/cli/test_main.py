"""Exit codes and the one sentence, for everything a user can get wrong."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cli.main
from db.connection import open_store
from drf import __version__
from tests.cli.conftest import Answer, Drf
from tests.db import examples

COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]
SIGNALLED = """
import atexit, os, signal, sys
import cli.main
how = getattr(signal, sys.argv[1])
signal.signal(how, signal.SIG_IGN if "ignored" in sys.argv else signal.SIG_DFL)
if how == signal.SIGINT:
    signal.signal(how, signal.default_int_handler)
atexit.register(os.kill, os.getpid(), how)  # once more, on the way out
cli.main.app = lambda **_: os.kill(os.getpid(), how)
cli.main.main()
"""
READING = [
    ("leaderboard",),
    ("runs", "list"),
    ("runs", "show", "mean-shape"),
    ("runs", "diff", "mean-shape", "hourglass-wide"),
    ("db", "check"),
    ("db", "path"),
]


def assert_one_sentence(answer: Answer) -> None:
    assert answer.out == ""
    assert answer.err.startswith("drf: ")
    assert len(answer.err.splitlines()) == 1
    assert "Traceback" not in answer.err


def test_version(drf: Drf) -> None:
    answer = drf("--version")
    assert (answer.code, answer.out) == (0, f"drf {__version__}\n")


def test_help_names_every_command(drf: Drf) -> None:
    answer = drf("--help")
    assert answer.code == 0
    for noun in ("data", "leaderboard", "runs", "db", "web"):
        assert f" {noun} " in answer.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("leadreboard",),
        ("leaderboard", "--boxes", "gt"),
        ("leaderboard", "--box", "square"),
        ("leaderboard", "--sort", "ocular_nne"),
        ("leaderboard", "--landmarks", "eye"),
        ("leaderboard", "--norm", "nose"),
        ("ablate", "--factor", "model.width", "--output", "html"),
        ("sweep", "table", "--output", "html"),
        ("sweep", "table", "--json", "--latex"),
        ("ablate", "--factor", "model.width", "--json", "--output", "latex"),
        ("runs", "show"),
        ("runs", "list", "extra"),
        ("web", "--port", "0"),
        ("web", "--port", "http"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_usage_errors_exit_with_2(drf: Drf, arguments: tuple[str, ...]) -> None:
    answer = drf(*arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("arguments", [(), ("runs",), ("db",)])
def test_a_noun_alone_shows_its_help(drf: Drf, arguments: tuple[str, ...]) -> None:
    answer = drf(*arguments)
    assert answer.code == 2
    assert "Usage: drf" in answer.out + answer.err


@pytest.mark.parametrize("arguments", [c for c in READING if c != ("db", "path")])
def test_no_store_exits_with_3(drf: Drf, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    answer = drf(*arguments)
    assert answer.code == 3
    assert_one_sentence(answer)
    assert "no store at" in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["show", "delete", "diff"])
@pytest.mark.usefixtures("filled")
def test_a_run_that_matches_none_or_several_exits_with_3(drf: Drf, command: str) -> None:
    more = {"diff": ("mean-shape",), "delete": ("--yes",), "show": ()}[command]
    for name, sentence in (("nobody", "no run has the name"), ("hourglass", "matches 2 runs")):
        answer = drf("runs", command, name, *more)
        assert answer.code == 3
        assert_one_sentence(answer)
        assert sentence in answer.err


def _text(path: Path) -> None:
    path.write_text("not a database, but long enough to have had a header" * 10)


def _foreign(path: Path) -> None:
    con = sqlite3.connect(path)
    con.execute("CREATE TABLE songs (title TEXT)")
    con.close()


def _newer(path: Path) -> None:
    db = open_store(path)
    row = {"migration_set": "drf", "name": "m099_future", "applied_at": "2030-01-01"}
    db.table("_sqlite_migrations").insert(row)
    db.close()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_text, "not an SQLite database"),
        (_foreign, "not a drf store"),
        (_newer, "newer drf"),
        (Path.mkdir, "is a folder"),
    ],
)
@pytest.mark.parametrize(
    "arguments", [*READING[:-1], ("db", "migrate"), ("db", "backup", "copy.db"), ("web",)]
)
def test_a_file_that_is_no_usable_store_exits_with_2(
    drf: Drf, tmp_path: Path, make: Any, sentence: str, arguments: tuple[str, ...]
) -> None:
    make(tmp_path / "drf.db")
    answer = drf(*arguments)
    assert answer.code == 2
    assert_one_sentence(answer)
    assert sentence in answer.err
    # A reader of a file in WAL mode leaves an empty log behind, and nobody leaves anything else.
    assert {path.name for path in tmp_path.iterdir()} <= {"drf.db", "drf.db-wal", "drf.db-shm"}


@pytest.mark.parametrize("arguments", READING)
@pytest.mark.usefixtures("filled")
def test_every_reading_command_prints_one_json_document(
    drf: Drf, arguments: tuple[str, ...]
) -> None:
    answer = drf(*arguments, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out)
    assert answer.out.endswith("\n")


def _sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("from SQLite")
    error.sqlite_errorcode = code  # type: ignore[misc]
    return error


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (_sqlite(sqlite3.SQLITE_FULL), 1, "is full"),
        (_sqlite(sqlite3.SQLITE_BUSY), 1, "stayed locked"),
        (_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), 1, "stayed locked"),
        (_sqlite(sqlite3.SQLITE_READONLY), 2, "cannot be written"),
        (_sqlite(sqlite3.SQLITE_READONLY_DBMOVED), 2, "cannot be written"),
        (_sqlite(sqlite3.SQLITE_IOERR_WRITE), 1, "failed to read or write"),
        (_sqlite(sqlite3.SQLITE_CORRUPT), 2, "is damaged"),
        (OSError(errno.ENOSPC, "No space left", "runs/best"), 1, "no space left .* runs/best"),
        (OSError(errno.EROFS, "Read-only", "out"), 1, "out lies on a read-only file system"),
        (PermissionError(errno.EACCES, "denied", "secret"), 1, "secret may not be accessed"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_command_can_meet_becomes_a_sentence(
    drf: Drf, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("db.connection.open_reader", fail)
    answer = drf("runs", "list")
    assert answer.code == code
    assert "Traceback" not in answer.err
    if sentence:
        assert_one_sentence(answer)
    assert re.search(sentence, answer.err)


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError(), _sqlite(sqlite3.SQLITE_ERROR), FileNotFoundError(2, "x")]
)
def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, bug: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise bug

    monkeypatch.setattr("db.connection.open_reader", fail)
    monkeypatch.setattr("sys.argv", ["drf", "runs", "list"])
    with pytest.raises(type(bug)):
        cli.main.main()


def test_a_reader_that_leaves_is_no_error(filled: list[str], tmp_path: Path) -> None:
    """`drf runs list --json | head -0`: quiet, though the last flush fails too."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "runs", "list", "--json", "--db", str(tmp_path / "drf.db")],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 1


def test_a_disk_that_fills_up_while_printing_is_told(filled: list[str], tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    with full.open("wb") as out:
        done = subprocess.run(
            [*COMMAND, "runs", "list", "--json", "--db", str(tmp_path / "drf.db")],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_color_is_honoured() -> None:
    def colours(**environment: str) -> bool:
        done = subprocess.run(
            [*COMMAND, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TERM": "xterm", "FORCE_COLOR": "1", **environment},
        )
        return any(
            f"\x1b[{more}{code}m" in done.stdout for code in range(30, 38) for more in ("", "1;")
        )

    assert colours()
    assert not colours(NO_COLOR="1")


def test_tables_say_nothing_by_colour_alone(
    drf: Drf, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = drf("leaderboard").out + drf("runs", "list").out
    assert "\x1b[1m" in text  # the best are bold
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_second_signal_ends_a_command_at_once_and_without_a_traceback(how: str) -> None:
    """Ctrl-C twice: the second one met Python on its way out, which printed tracebacks."""
    assert _signalled(how) == (130, "")


def test_a_closed_terminal_ends_nothing_under_nohup() -> None:
    assert _signalled("SIGHUP", "ignored") == (0, "")


def _signalled(*words: str) -> tuple[int, str]:
    """Return exit code and stderr of a command that a signal meets while it works and once more
    while it ends."""
    command = [sys.executable, "-c", SIGNALLED, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("form", ["json", "latex"])
def test_a_form_of_a_table_has_an_option_of_its_own_and_keeps_its_old_one(
    drf: Drf, tmp_path: Path, form: str
) -> None:
    with contextlib.closing(open_store(tmp_path / "drf.db")) as db:
        for width in (48, 96):
            config = examples.new_run().config | {"model.width": width}
            examples.add_finished_run(db, config=config)
    ablate = ("ablate", "--factor", "model.width")
    answer = drf(*ablate, f"--{form}")
    assert answer.code == 0, answer.err
    assert answer.out == drf(*ablate, "--output", form).out
    assert answer.out.startswith({"json": "{\n", "latex": "% "}[form])
    assert "--output" not in drf("ablate", "--help").out


def test_a_table_of_latex_escapes_the_values_of_its_factor(drf: Drf, tmp_path: Path) -> None:
    with contextlib.closing(open_store(tmp_path / "drf.db")) as db:
        for value in ("plain", r"a\b^c~"):
            config = examples.new_run().config | {"model.width": value}
            examples.add_finished_run(db, config=config)
    answer = drf("ablate", "--factor", "model.width", "--latex")
    assert r"a\textbackslash{}b\textasciicircum{}c\textasciitilde{} & " in answer.out
