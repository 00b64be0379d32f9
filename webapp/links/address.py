"""The address of the browser holds what a page shows: controls are read from it and written to it.

Streamlit's own binding of widgets to the address (`bind="query-params"`) is not used: of a link to
another page it drops the parameters that both pages have, and it leaves entries in the browser's
history that show neither page. Here an address that somebody arrives at, by a link or by Back and
Forward, decides what all controls show. What is chosen later is written to it, and what one choice
decides is one entry of the history, sent where the page has been shown (`one_entry`): what the
browser says of its address meanwhile is older than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from webapp.links import url_keys

Parameters = Mapping[str, Sequence[str]]

_PAGE, _VIEWS, _ARRIVING = "page", "views", "arriving"
_UNSENT, _COLLECTING = "unsent_address", "collecting_address"
STALE = "stale_links"
"""State that is set where a fragment wrote what the links of the page around it carry."""


def arrive(page: str) -> bool:
    """Begin a run of a page; return whether the browser has just come to this address.

    An address with parameters of other pages is what Streamlit leaves in the history where the
    server opens a page: it gets the parameters that the page had last.
    """
    st.session_state.pop(STALE, None)
    context = get_script_run_ctx()
    by_history = bool(getattr(context, "is_history_navigation", False))
    arrived = by_history or st.session_state.get(_PAGE) != page
    if arrived:
        st.session_state[_PAGE], st.session_state[_UNSENT] = page, False
        asked = set(st.query_params)
        own = {key.name for key in (*url_keys.of_page(page), url_keys.FROM_VIEW)}
        of_others = {key.name for key in url_keys.KEYS if key.pages} - own
        last = last_views().get(page)
        if last is not None and asked & of_others:
            replace(last)
        else:
            last_views()[page] = {
                name: st.query_params.get_all(name) for name in st.query_params if name in own
            }
    st.session_state[_ARRIVING] = arrived
    return arrived


def arriving() -> bool:
    """Return whether what the address says is what a link said, and not what was chosen since."""
    return bool(st.session_state.get(_ARRIVING, False))


def settle() -> None:
    """End the run of a page."""
    st.session_state[_ARRIVING] = False


def parameters() -> dict[str, list[str]]:
    """Return the parameters of the page."""
    return last_views().get(st.session_state.get(_PAGE, ""), {})


def get_all(name: str) -> list[str]:
    """Return the values of a parameter, [] where it is not in the address."""
    return parameters().get(name, [])


def get(name: str) -> str | None:
    """Return the value of a parameter, None where it is not in the address."""
    return next(iter(get_all(name)[-1:]), None)


def write(name: str, values: Sequence[str]) -> None:
    """Write a parameter to the address; no value removes it. Nothing is sent where it is so."""
    write_all({name: values})


def write_all(chosen: Parameters) -> None:
    """Write what a visitor chose: see `write`. Rows that are chosen or ordered anew are shown from
    their first page."""
    if _changed(chosen):
        st.session_state[_UNSENT] = True


def amend(name: str, values: Sequence[str]) -> None:
    """Change a parameter that means nothing any more, which is no choice: it is sent with the one
    that made it so, or else with the next."""
    _changed({name: values})


def _changed(said: Parameters) -> bool:
    """Return whether parameters of the page are others now."""
    changed = {name: list(values) for name, values in said.items() if get_all(name) != list(values)}
    if not changed:
        return False
    again = {page for page, keys in url_keys.ROWS_BY_PAGE.items() if keys & changed.keys()}
    again -= changed.keys()
    now = parameters() | changed
    last_views()[st.session_state[_PAGE]] = {
        key: values for key, values in now.items() if values and key not in again
    }
    context = get_script_run_ctx()
    if changed.keys() & url_keys.CARRIED and context is not None and context.fragment_ids_this_run:
        st.session_state[STALE] = True
    return True


@contextmanager
def one_entry() -> Iterator[None]:
    """Around a run of a page, or of a fragment alone: what was chosen before it, and what that
    leaves without a meaning, is sent to the browser at its end. A run that is broken off sends
    nothing: what it wrote goes with the next one, as it was not shown."""
    if st.session_state.get(_COLLECTING):  # a fragment within its page
        yield
        return
    st.session_state[_COLLECTING] = True
    try:
        yield
    finally:
        st.session_state[_COLLECTING] = False
    if st.session_state.get(_UNSENT):
        replace(parameters())


def replace(parameters: Parameters) -> None:
    """Put other parameters in place of all of the page, at once."""
    new = {name: list(values) for name, values in parameters.items()}
    last_views()[st.session_state[_PAGE]], st.session_state[_UNSENT] = new, False
    st.query_params.from_dict(new)


def last_views() -> dict[str, dict[str, list[str]]]:
    """Return page -> the parameters that it had when it was last seen in this session."""
    views: dict[str, dict[str, list[str]]] = st.session_state.setdefault(_VIEWS, {})
    return views
