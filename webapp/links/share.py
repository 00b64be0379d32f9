"""The link to a view, and the notice for a link made at another revision of the store."""

from __future__ import annotations

import streamlit as st

from webapp.links import url_keys, widgets
from webapp.store import StoreVersion


def link(page: str, current: StoreVersion, at_revision: int | None = None) -> None:
    """Show a button that opens the full link of this view, ready to copy.

    at_revision: that of the view, where it is not the store's.
    """
    with st.popover("Link to this view", icon=":material/link:"):
        st.caption("Contains every setting and the revision of the store. Copy it with the button.")
        revision = current.revision if at_revision is None else at_revision
        st.code(widgets.full_link(page, revision), language=None, wrap_lines=True)


def show_revision_notice(current: StoreVersion) -> None:
    """Show a notice if the link was made at another revision of the store."""
    pinned = widgets.pinned_revision()
    if pinned is not None and pinned != current.revision:
        st.info(
            f"This link was made at revision {pinned} of the store; it is now at revision "
            f"{current.revision}, so runs may have been added, finished or deleted since.",
            icon=":material/update:",
        )


def choose_revision(current: StoreVersion) -> int | None:
    """Show a notice if the store changed since the link was made, and offer the board as it was.

    Return the revision to show, None for the present one.
    """
    pinned = widgets.pinned_revision()
    if pinned is None or pinned >= current.revision:
        show_revision_notice(current)
        return None
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        back = widgets.toggle(url_keys.PINNED, f"Show the board of revision {pinned}")
        now = f"it is now at revision {current.revision}"
        st.caption(
            f"The board as it was at revision {pinned} of the store; {now}. Runs that were deleted "
            "since are gone."
            if back
            else f"This link was made at revision {pinned} of the store; {now}, so evaluations may "
            "have been added since."
        )
    return pinned if back else None
