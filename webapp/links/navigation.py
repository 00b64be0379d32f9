"""The bar of pages, and links from one page to another: what is looked at goes with them.

Streamlit's own bar would open every page as it is without a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from webapp import store
from webapp.links import address, carried, url_keys
from webapp.links.carried import Carried
from webapp.store import StoreVersion

_CARRIED = "carried"
BAR = "pages"
"""Key of the bar, in the class names of its element."""


def bar(current: StoreVersion, page: st.Page, pages: Sequence[st.Page]) -> None:
    """Show links to all pages; each opens as it was when it was last seen, but on the board, under
    the normaliser and with the runs and the baseline of this page."""
    boards = store.boards(current)
    before = st.session_state.get(_CARRIED, Carried())
    here = carried.seen(page.url_path, address.parameters(), boards, before)
    st.session_state[_CARRIED] = here
    last = address.last_views()
    with st.container(key=BAR, horizontal=True, gap="xxsmall"):
        for one in pages:
            there = last.get(one.url_path)
            asked = carried.parameters(one.url_path, here, boards, there)
            st.page_link(one, label=one.title, help=one.help, query_params=asked)


def link(page: str, script: str, label: str, *, run: str | None = None, **look: Any) -> None:
    """Show a link to a page of the app, on the board and under the normaliser of this page.

    script: of the page; run: that the page shows; look: arguments of `st.page_link`
    """
    st.page_link(script, label=label, query_params=to(page, run=run), **look)


def to(page: str, *, run: str | None = None, **parameters: str) -> dict[str, list[str]]:
    """Return the parameters of a link to a page: what travels, and then those that are given."""
    here = st.session_state.get(_CARRIED, Carried())
    if run is not None:
        here = replace(here, runs=(run[:8],))
    last = address.last_views().get(page) if page == url_keys.LEADERBOARD else None
    boards = store.boards(st.session_state["store"])
    found = carried.parameters(page, here, boards, last)
    return found | {name: [value] for name, value in parameters.items()}
