"""What is new on a board since a day or a revision that the link names."""

from __future__ import annotations

from datetime import date

import pandas as pd
import streamlit as st

from db.boards import changes
from db.boards.changes import Changes
from drf.errors import UsageError
from webapp import store
from webapp.leaderboard.controls import BoardChoice
from webapp.leaderboard.rows import load_rows
from webapp.links import address, url_keys, widgets
from webapp.store import StoreVersion
from webapp.ui.text import plain

_DAY = "since_day"


def show(current: StoreVersion, board: BoardChoice) -> None:
    """Show what is new since the `since` of the link; nothing without one. One that is no day and
    no revision is reported."""
    since = address.get(url_keys.BOARD_SINCE.name)
    if since is None:
        return
    try:
        found = _found(current, since, board)
    except UsageError:
        widgets.refuse(
            url_keys.BOARD_SINCE,
            f"The link asks what is new since “{widgets.quoted(since)}”, which is no day and no"
            " revision of this store.",
        )
        return
    with st.expander(f"New since {plain(since)}: {_in_words(found)}", icon=":material/update:"):
        if found:
            _table(found)
        st.caption(
            f"Compared with the board at revision {found.revision} of the store. Runs deleted since"
            " then are left out of that board too, so its places may differ from those shown then."
        )
        st.button("Close", on_click=_close)


def choose() -> None:
    """Show a button under which a visitor chooses the day."""
    with st.popover("What is new", icon=":material/update:"):
        st.date_input(
            "Since", value=None, format="YYYY-MM-DD", key=_DAY, on_change=_chosen, max_value="today"
        )
        st.caption("The choice is in the address: a bookmark of it always tells what is new.")


def _chosen() -> None:
    day = st.session_state[_DAY]
    if isinstance(day, date):
        address.write(url_keys.BOARD_SINCE.name, [day.isoformat()])
    else:
        _close()


def _close() -> None:
    address.write(url_keys.BOARD_SINCE.name, [])


def _found(current: StoreVersion, since: str, board: BoardChoice) -> Changes:
    revision = store.revision_of(current, since)
    before, now = (
        load_rows(current, as_runs=board.as_runs, at_revision=at, **board.where)
        for at in (revision, None)
    )
    gone = store.deletions(current, revision, board.where, now)
    return changes.compared(revision, before, now, board.norms[board.norm], gone)


def _in_words(found: Changes) -> str:
    counts = {"added": found.added, "changed": found.moved, "deleted": found.deleted}
    said = [f"{len(ones)} {how}" for how, ones in counts.items() if ones]
    return ", ".join(said) or "nothing"


def _table(found: Changes) -> None:
    columns = [heading[:1].upper() + heading[1:] for heading in changes.COLUMNS]
    st.dataframe(
        pd.DataFrame(found.lines(), columns=columns),
        hide_index=True,
        height="content",
        alt=f"What is new on this board: {_in_words(found)}",
    )
