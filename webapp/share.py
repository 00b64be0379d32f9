"""What a shared link needs on the page: the link itself, and word of a store that has moved on."""

from __future__ import annotations

import streamlit as st

from webapp import url_state
from webapp.store import Store


def link(page: str, current: Store) -> None:
    """Show a button that opens the full link of this view, ready to copy."""
    with st.popover("Link to this view", icon=":material/link:"):
        st.caption("Spells every setting out, with the store's revision. Copy it with the button.")
        st.code(url_state.full_link(page, current.revision), language=None, wrap_lines=True)


def moved_on(current: Store) -> None:
    """Say so if the link was made at another revision of the store."""
    pinned = url_state.pinned_revision()
    if pinned is not None and pinned != current.revision:
        st.info(
            f"This link was made at revision {pinned} of the store; it is now at revision "
            f"{current.revision}, so runs may have been added, finished or deleted since.",
            icon=":material/update:",
        )
