"""Named views: links of the app too long to send, kept under a name. `?view=NAME` opens one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit

from sqlite_utils import Database

from db.file import now
from db.recording.words import checked_line
from db.transactions import locked
from drf.config import nearest
from drf.errors import NotFoundError, UsageError, quoted

VIEW_KEY = "view"
"""Parameter of the app's links that names a view."""

PAGES = ("", "run", "images", "compare", "ablations", "live", "photo", "about")
"""Url paths of the app's pages, the leaderboard first; their names are in
`webapp/links/url_keys.py`."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LONGEST_LINK = 32_000  # characters; a table of 2,000 runs by id is 18,000


@dataclass(frozen=True)
class View:
    """A view of the app: its page's url path ("" for the leaderboard) and the parameters, in order.

    A parameter may occur more than once. fault: why its link cannot be opened, a sentence, where
    the store holds one that is none · title, author, note: what the person who made it says of it;
    each is one line, or None
    """

    name: str
    page: str
    parameters: tuple[tuple[str, str], ...]
    created_at: str
    fault: str | None = None
    title: str | None = None
    author: str | None = None
    note: str | None = None

    @property
    def link(self) -> str:
        """The link below the app's address: run?run=3f2a9c1e."""
        return f"{self.page}?{urlencode(self.parameters)}"


def add_view(
    db: Database,
    name: str,
    link: str,
    *,
    title: str | None = None,
    author: str | None = None,
    note: str | None = None,
) -> View:
    """Keep a link under a name and return the view.

    link: as copied from the app; host and folder are dropped, for the app may move
    title, author, note: one line each, shown above the page that the view opens
    Raises UsageError for a name that is taken or no word of a link, for a link without parameters,
    of another scheme, too long, to a named view or to no page, and for a line that cannot be
    shown.
    """
    title, author, note = (
        (checked_line(text, what) or None) if text else None
        for text, what in ((title, "the title"), (author, "the author"), (note, "the note"))
    )
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a view; use up to 64 letters, digits, dots, dashes and "
            "underscores, the first a letter or digit"
        )
    view = View(name, *parse_link(link), now(), None, title, author, note)
    if view.page not in PAGES:  # a stored one may be of a later version
        raise UsageError(
            f"the app has no page {quoted(view.page)}{nearest(view.page, PAGES[1:])}; a link of the"
            " leaderboard has no page before its question mark"
        )
    with locked(db):  # the revision stays: naming a link must not make it look outdated
        if db.execute("SELECT 1 FROM views WHERE name = ?", [name]).fetchone():
            raise UsageError(
                f"there is a view {name!r}, and links to it are out; choose another name, "
                f"or remove it first: drf views remove {name}"
            )
        db.table("views").insert({column: getattr(view, column) for column in _COLUMNS})
    return view


def remove_view(db: Database, name: str) -> None:
    """Forget a view. Raises NotFoundError if there is none of that name."""
    with locked(db):
        if not db.execute("DELETE FROM views WHERE name = ?", [name]).rowcount:
            raise NotFoundError(f"there is no view {name!r}; `drf views list` shows all")


def views(con: sqlite3.Connection) -> list[View]:
    """Return all named views by name, also those whose link is none."""
    return [_view(row) for row in con.execute(f"{_VIEWS} ORDER BY name")]


def find_view(con: sqlite3.Connection, name: str) -> View:
    """Return the view of a name. Raises NotFoundError, UsageError where its link is none."""
    row = con.execute(f"{_VIEWS} WHERE name = ?", [name]).fetchone()
    if row is None:
        raise NotFoundError(f"there is no view {name!r}")
    view = _view(row)
    if view.fault is not None:
        raise UsageError(f"the view {name!r} cannot be opened: {view.fault}")
    return view


# As bytes: SQLite's text may be no UTF-8, and then no row at all could be read.
_COLUMNS = ("name", "link", "created_at", "title", "author", "note")
_VIEWS = f"SELECT {', '.join(f'CAST({column} AS BLOB)' for column in _COLUMNS)} FROM views"


def _view(row: tuple[bytes | None, ...]) -> View:
    name, link, created_at, title, author, note = (
        None if value is None else value.decode("utf-8", "backslashreplace") for value in row
    )
    page, fault = "", None
    parameters: tuple[tuple[str, str], ...] = ()
    try:
        page, parameters = parse_link(link or "")
    except UsageError as error:
        fault = str(error)
    return View(name or "", page, parameters, created_at or "", fault, title, author, note)


def parse_link(link: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return page and parameters of a link of the app. Raises UsageError for what is none."""
    if len(link) > _LONGEST_LINK:
        raise UsageError(f"a link of {len(link)} characters is longer than {_LONGEST_LINK}")
    with _as_usage_error(link):
        parts = urlsplit(link.strip())
        parameters = tuple(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        if not parameters:
            raise ValueError("nothing follows a question mark")
    if parts.scheme not in ("", "http", "https"):
        raise UsageError(f"{quoted(link)} is no link of the app; copy one with “Link to this view”")
    if VIEW_KEY in dict(parameters):
        raise UsageError("the link opens a named view itself; give the full link of that page")
    return parts.path.rpartition("/")[2], parameters


@contextmanager
def _as_usage_error(link: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # no parameters at all, a stray &, a broken host
        raise UsageError(
            f"{quoted(link)} has no parameters that can be kept ({error}); copy the link of a page "
            "with “Link to this view”"
        ) from error
