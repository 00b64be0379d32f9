"""What people say of runs: a note, tags, a star, and the name.

None of it decides a result, so it may change at any time, and it is read beside a run and not as a
part of it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sqlite3
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlite_utils import Database

from db.file import now
from db.recording.runs import require_run
from db.transactions import writing
from drf.errors import NotFoundError, UsageError, quoted
from drf.text import UNPRINTABLE, is_utf8, printable

LONGEST_NAME = 500
LONGEST_NOTE = 10_000
LONGEST_TAG = 64
LONGEST_LINE = 200
"""Characters at most: of a run's name, a note, a tag, and of an author or another single line."""

TABLES = ("notes", "tags", "stars")
"""Every row of these belongs to a run by its column `run`."""


@dataclass(frozen=True)
class Note:
    """A note on a run. author: may be empty; created_at: UTC, as `db.file.now`."""

    text: str
    author: str
    created_at: str


@dataclass(frozen=True)
class Words:
    """Everything that people say of one run. tags: in alphabetical order, whatever their case."""

    note: Note | None = None
    tags: tuple[str, ...] = ()
    starred: bool = False

    def match(self, tags: Collection[str], *, starred: bool = False) -> bool:
        """Return whether the run has all of these tags, whatever their case, and, where `starred`,
        a star."""
        mine = {tag.casefold() for tag in self.tags}
        return mine.issuperset(map(str.casefold, tags)) and (self.starred or not starred)

    def short(self) -> str:
        """Return star and tags as they stand in a table: "★ for-paper, short"."""
        return " ".join(part for part in (STAR * self.starred, ", ".join(self.tags)) if part)

    def document(self) -> dict[str, Any]:
        """Return what `--json` prints of it."""
        note = None if self.note is None else asdict(self.note)
        return {"note": note, "tags": list(self.tags), "starred": self.starred}


def together(said: Iterable[Words]) -> Words:
    """Return tags and star of several runs, as a row that stands for all of them shows it."""
    known = list(said)
    tags = {tag.casefold(): tag for words in known for tag in words.tags}
    return Words(None, tuple(tags[key] for key in sorted(tags)), any(w.starred for w in known))


NOTHING = Words()
STAR = "★"


@dataclass(frozen=True)
class FirstWords:
    """What is said of a run before it starts."""

    note: str | None = None
    tags: tuple[str, ...] = ()

    def checked(self) -> FirstWords:
        """Return them as they are stored. Raises UsageError for what cannot be."""
        note = None if self.note is None else checked_note(self.note)
        return FirstWords(note, tuple(checked_tags(self.tags)))


def write_first(db: Database, run: str, said: FirstWords) -> None:
    """Give a new run its first note, by `author_here`, and tags."""
    if said.note is not None:
        write_note(db, run, said.note, author_here())
    if said.tags:
        add_tags(db, run, said.tags)


def author_here() -> str:
    """Return who writes where nobody is named: the variable DRF_AUTHOR, else the name of the
    account; empty where that has none, as in some containers."""
    with contextlib.suppress(OSError, KeyError, ImportError):
        return os.environ.get("DRF_AUTHOR") or getpass.getuser()
    return ""


def of_runs(con: sqlite3.Connection) -> dict[str, Words]:
    """Return what is said of the runs (full ids); nothing of those that nobody has described."""
    notes = {run: Note(*rest) for run, *rest in con.execute(f"SELECT run, {_NOTE} FROM notes")}
    tags: defaultdict[str, list[str]] = defaultdict(list)
    for run, tag in con.execute("SELECT run, tag FROM tags ORDER BY run, tag"):
        tags[run].append(tag)
    stars = {run for (run,) in con.execute("SELECT run FROM stars")}
    return {
        run: Words(notes.get(run), tuple(tags.get(run, ())), run in stars)
        for run in notes.keys() | tags.keys() | stars
    }


def of_run(con: sqlite3.Connection, run: str) -> Words:
    """Return what is said of one run (full id)."""
    note = con.execute(f"SELECT {_NOTE} FROM notes WHERE run = ?", [run]).fetchone()
    tags = con.execute("SELECT tag FROM tags WHERE run = ? ORDER BY tag", [run])
    star = con.execute("SELECT 1 FROM stars WHERE run = ?", [run]).fetchone()
    return Words(note and Note(*note), tuple(tag for (tag,) in tags), star is not None)


def write_note(db: Database, run: str, text: str, author: str = "") -> Note | None:
    """Give a run its note; return the one that it replaces. Raises UsageError for a text that
    cannot be stored or shown."""
    new = Note(checked_note(text), checked_line(author, "an author"), now())
    with writing(db):
        require_run(db, run)
        old = of_run(db.conn, run).note
        db.table("notes").upsert({"run": run, **asdict(new)}, pk="run")
    return old


def remove_note(db: Database, run: str) -> Note:
    """Remove the note of a run and return it. Raises NotFoundError where it has none."""
    with writing(db):
        old = of_run(db.conn, run).note
        if old is None:
            raise NotFoundError(f"run {run[:8]} has no note")
        db.execute("DELETE FROM notes WHERE run = ?", [run])
    return old


def add_tags(db: Database, run: str, tags: Iterable[str]) -> None:
    """Give a run tags; one that it has already, in whatever case, stays as it is."""
    chosen = checked_tags(tags)
    with writing(db):
        require_run(db, run)
        db.conn.executemany(
            "INSERT OR IGNORE INTO tags VALUES (?, ?)", [(run, tag) for tag in chosen]
        )


def remove_tags(db: Database, run: str, tags: Iterable[str]) -> None:
    """Take tags from a run. Raises NotFoundError, and removes none, where it lacks one of them."""
    with writing(db):
        for tag in checked_tags(tags):
            found = db.execute("DELETE FROM tags WHERE run = ? AND tag = ?", [run, tag])
            if not found.rowcount:
                there = ", ".join(of_run(db.conn, run).tags) or "none"
                raise NotFoundError(f"run {run[:8]} has no tag {quoted(tag)}; it has {there}")


def set_star(db: Database, run: str, *, starred: bool) -> None:
    """Give a run a star, or take it away."""
    with writing(db):
        require_run(db, run)
        change = "INSERT OR IGNORE INTO stars VALUES (?)"
        db.execute(change if starred else "DELETE FROM stars WHERE run = ?", [run])


def rename_run(db: Database, run: str, name: str) -> str:
    """Give a run another name and return the one before; its id and its results stay."""
    name = checked_name(name)
    with writing(db):
        old = str(require_run(db, run)["name"])
        db.table("runs").update(run, {"name": name})
    return old


def checked_name(name: str) -> str:
    """Return a run's name without spaces around it. Raises UsageError for a blank one, and for what
    cannot be stored or shown on a board."""
    if not name.strip():
        raise UsageError("a run cannot have a blank name: give it one with a letter or a digit")
    return _checked(name, "the name", LONGEST_NAME)


def checked_note(text: str) -> str:
    """Return the text of a note, lines ended by "\\n", without blank lines around it. Raises
    UsageError."""
    lines = [line.rstrip().expandtabs() for line in text.splitlines()]
    if not (joined := "\n".join(lines).strip("\n")).strip():
        raise UsageError("a note cannot be blank; `drf runs note RUN --remove` removes a note")
    for line in lines:
        _refuse_controls(line, "the note")
    return _checked(joined, "the note", LONGEST_NOTE)


def checked_tags(tags: Iterable[str]) -> Sequence[str]:
    """Return tags that may be stored, each once. Raises UsageError."""
    return [*dict.fromkeys(map(_checked_tag, tags))]


def checked_line(text: str, what: str) -> str:
    """Return one line of text. what: as the subject of a sentence. Raises UsageError."""
    _refuse_controls(text, what)
    return _checked(text, what, LONGEST_LINE)


def is_tag(text: str) -> bool:
    """Return whether a text may be a tag: the comma separates tags where several are written."""
    odd = any(c.isspace() or c == "," for c in text) or UNPRINTABLE.search(text)
    return 0 < len(text) <= LONGEST_TAG and not odd and not text.startswith("-")


def _checked_tag(tag: str) -> str:
    made = unicodedata.normalize("NFC", tag.strip())
    if not is_tag(made):
        raise UsageError(
            f"{quoted(tag)} cannot be a tag: use up to {LONGEST_TAG} characters without spaces and"
            " commas, the first no dash, e.g. for-paper"
        )
    return made


def _checked(text: str, what: str, longest: int) -> str:
    if not is_utf8(text):
        raise UsageError(f"{what} {printable(text[:60])} is not UTF-8: type it in a UTF-8 terminal")
    if len(text) > longest:
        raise UsageError(f"{what} has {len(text)} characters; at most {longest} can be stored")
    return text.strip()


def _refuse_controls(line: str, what: str) -> None:
    if is_utf8(line) and UNPRINTABLE.search(line):
        raise UsageError(f"{what} contains a control character: {printable(line[:60])}")


_NOTE = "text, author, created_at"
