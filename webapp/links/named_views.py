"""Opens `?view=NAME`: the link that `drf views add` stored under this name."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from drf.errors import NotFoundError, UsageError
from webapp import store
from webapp.links import address, url_keys, widgets
from webapp.store import StoreVersion
from webapp.ui.text import plain


def open_named_view(current: StoreVersion, here: st.Page, pages: Sequence[st.Page]) -> None:
    """Go to the named view of the link, if there is one; report an unknown name.

    The address then contains all parameters of the view, so that later changes are in it too.
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
    if page.url_path != here.url_path:
        st.switch_page(page, query_params=parameters)
    address.replace(parameters)
