"""The address of the browser holds what a page shows: controls are read from it and written to it.

Streamlit's own binding of widgets to the address (`bind="query-params"`) is not used: of a link to
another page it drops the parameters that both pages have, and it leaves an entry in the browser's
history that shows neither page. Here an address that somebody arrives at, by a link or by Back and
Forward, decides what all controls show; what is chosen later is written to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from webapp.links import url_keys

Parameters = Mapping[str, Sequence[str]]

_PAGE, _VIEWS = "page", "views"


def parameters() -> dict[str, list[str]]:
    """Return all parameters of the address."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def arrive(page: str) -> bool:
    """Begin a run of a page; return whether the browser has just come to this address.

    Then what controls showed before is forgotten, so that the address decides. An address with
    parameters of other pages is what Streamlit leaves in the history where a table opens a page:
    it gets the parameters that the page had last.
    """
    context = get_script_run_ctx()
    by_history = bool(getattr(context, "is_history_navigation", False))
    arrived = by_history or st.session_state.get(_PAGE) != page
    if arrived:
        st.session_state[_PAGE] = page
        for key in url_keys.KEYS:
            st.session_state.pop(key.name, None)
        others = {key.name for key in url_keys.KEYS if page not in key.pages and key.pages}
        last = last_views().get(page)
        if last is not None and others & set(st.query_params):
            st.query_params.from_dict(last)
    _remember()
    return arrived


def replace(parameters: Parameters) -> None:
    """Put other parameters in place of all of the address, before any control was shown."""
    st.query_params.from_dict(parameters)
    _remember()


def write(name: str, values: Sequence[str]) -> None:
    """Write a parameter to the address; no value removes it. Nothing is sent where it is so."""
    if st.query_params.get_all(name) == list(values):
        return
    if values:
        st.query_params[name] = list(values)
    else:
        del st.query_params[name]
    _remember()


def last_views() -> dict[str, dict[str, list[str]]]:
    """Return page -> the parameters that it had when it was last seen in this session."""
    views: dict[str, dict[str, list[str]]] = st.session_state.setdefault(_VIEWS, {})
    return views


def _remember() -> None:
    page = st.session_state[_PAGE]
    own = {key.name for key in url_keys.of_page(page)}
    last_views()[page] = {name: v for name, v in parameters().items() if name in own}
