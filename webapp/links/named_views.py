"""Opens `?view=NAME`, the link that `drf views add` stored under this name, and shows what its
author says of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import streamlit as st

from db.recording.saved_links import View
from drf.errors import NotFoundError, UsageError
from webapp import store
from webapp.links import address, earlier, url_keys, widgets
from webapp.store import StoreVersion
from webapp.ui.text import plain


def open_named_view(current: StoreVersion, here: st.Page, pages: Sequence[st.Page]) -> None:
    """Go to the named view of the link, if there is one; report an unknown name.

    The address then contains all parameters of the view, as this version names them, so that later
    changes are in it too.
    """
    name = st.query_params.get(url_keys.VIEW.name)
    if name is None:
        return
    try:
        view = store.view(current, name)
    except NotFoundError:
        widgets.notify(
            f"There is no view called “{widgets.quoted(name)}”; this is the page without it."
        )
        return
    except UsageError:
        widgets.notify(
            f"The link of the view “{plain(name)}” is damaged; this is the page without it."
        )
        return
    page = next((page for page in pages if page.url_path == view.page), None)
    if page is None:
        widgets.notify(f"The view “{plain(name)}” is on a page that this version does not have.")
        return
    parameters: dict[str, list[str]] = {}
    for key, value in view.parameters:
        parameters.setdefault(key, []).append(value)
    parameters = earlier.of_today(current, parameters) | {url_keys.FROM_VIEW.name: [name]}
    if page.url_path != here.url_path:
        st.switch_page(page, query_params=parameters)
    address.replace(parameters)


def show_description(current: StoreVersion, page: str) -> None:
    """Show title, author and sentence of the view that opened this page, if it has any. page: its
    url path."""
    name = address.get(url_keys.FROM_VIEW.name)
    if name is None:
        return
    with contextlib.suppress(NotFoundError, UsageError):
        view = store.view(current, name)
        if view.page == page and (view.title or view.note):
            with st.container(border=True):
                st.markdown(description(view))


def list_all(current: StoreVersion) -> None:
    """List the named views with links to them; one that cannot be opened says why."""
    for view in store.views(current):
        with st.container(gap="xsmall"):
            if view.fault is None:
                st.page_link(
                    "views/leaderboard.py",
                    label=plain(view.title or view.name),
                    query_params={url_keys.VIEW.name: view.name},
                )
            said = description(view) if view.fault is None else plain(f"{view.name}: {view.fault}")
            st.caption(said)


def description(view: View) -> str:
    """Return title, author, day and sentence of a view, as Markdown."""
    by = f" by {plain(view.author)}" if view.author else ""
    head = f"**{plain(view.title or view.name)}**{by}, {plain(view.created_at[:10])}"
    return f"{head}  \n{plain(view.note)}" if view.note else head
