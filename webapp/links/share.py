"""The link to a view, and the notice of what came to its board since the link was made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import streamlit as st

from db.boards.additions import Addition
from webapp import store
from webapp.links import address, url_keys, widgets
from webapp.store import StoreVersion
from webapp.ui.text import plain

_MOST_NAMED = 5


def link(page: str, current: StoreVersion, at_revision: int | None = None) -> None:
    """Show a button that opens the full link of this view, ready to copy.

    at_revision: that of the view, where it is not the store's.
    """
    with st.popover("Link to this view", icon=":material/link:"):
        pinned = " and the revision of the store" if page in url_keys.REVISION.pages else ""
        st.caption(f"Contains every setting{pinned}. Copy it with the button.")
        revision = current.revision if at_revision is None else at_revision
        st.code(widgets.full_link(page, revision), language=None, wrap_lines=True)


def show_revision_notice(
    current: StoreVersion, board: Mapping[str, str], runs: Collection[str] | None = None
) -> None:
    """Say what came to a board since the link was made; nothing where nothing did.

    board: values of `reads.BOARD`; runs: those that the view shows, None for all of the board
    """
    pinned = widgets.pinned_revision()
    if pinned is None or _of_another_store(current, pinned):
        return
    if said := what_is_new(_added(current, pinned, board, runs)):
        sentence = f"This link was made at revision {pinned} of the store; since then, {said}."
        st.info(sentence, icon=":material/update:")


def revision_shown(current: StoreVersion) -> int | None:
    """Return the revision whose board the page shows, as `choose_revision` lets visitors choose;
    None for the present one."""
    pinned = widgets.pinned_revision()
    if pinned is None or pinned > current.revision:
        return None
    return pinned if (address.get(url_keys.PINNED.name) or "").lower() == "true" else None


def choose_revision(current: StoreVersion, board: Mapping[str, str]) -> None:
    """Say what came to a board since the link was made, and offer it as it was then."""
    pinned = widgets.pinned_revision()
    if pinned is None or _of_another_store(current, pinned):
        return
    said = what_is_new(_added(current, pinned, board))
    back = revision_shown(current) is not None
    if not said and not back:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        widgets.toggle(url_keys.PINNED, f"Show the board of revision {pinned}")
        since = f"since then, {said}" if said else "since then, no run was evaluated on it"
        st.caption(
            f"The board as it was at revision {pinned} of the store; {since}. Runs that were"
            " deleted since are gone."
            if back
            else f"This link was made at revision {pinned} of the store; {since}."
        )


def what_is_new(added: Sequence[Addition]) -> str:
    """Return in words which runs came, as Markdown: 2 runs were added: a, b. Empty for none."""
    parts = (
        ("added", [one.name for one in added if not one.again]),
        ("evaluated again", [one.name for one in added if one.again]),
    )
    return "; ".join(
        f"{len(names)} {'run was' if len(names) == 1 else 'runs were'} {how}: {_listed(names)}"
        for how, names in parts
        if names
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    said = ", ".join(map(plain, names[:_MOST_NAMED]))
    return f"{said} and {more} more" if more > 0 else said


def _added(
    current: StoreVersion,
    pinned: int,
    board: Mapping[str, str],
    runs: Collection[str] | None = None,
) -> list[Addition]:
    found = store.additions(current, pinned, board) if pinned < current.revision else []
    return [one for one in found if runs is None or one.run in runs]


def _of_another_store(current: StoreVersion, pinned: int) -> bool:
    """Return whether the store has not come to the link's revision yet, and say so."""
    if pinned > current.revision:
        st.info(
            f"This link was made at revision {pinned} of a store; this one is at revision"
            f" {current.revision}: an earlier copy of it, or another store.",
            icon=":material/update:",
        )
    return pinned > current.revision
