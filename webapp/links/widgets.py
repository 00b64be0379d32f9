"""Widgets bound to the URL, links that contain the whole view, and notices about invalid links."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

import streamlit as st

from webapp.links import url_keys
from webapp.links.url_keys import UrlKey
from webapp.ui.text import plain

_NOTICES = "notices"
_PAGE = "page"


def begin(page: str) -> None:
    """Start the run of a page: drop the notices of another page and check the keys of the link."""
    if st.session_state.get(_PAGE) != page:
        st.session_state[_PAGE] = page
        st.session_state[_NOTICES] = []
    known = {key.name for key in url_keys.KEYS}
    for name in st.query_params:
        if name not in known and not name.startswith("embed"):
            notify(
                f"This version does not know “{quoted(name)}”; that part of the link is ignored."
            )


def notify(sentence: str) -> None:
    """Show a notice (Markdown), once, for as long as the page is open."""
    notices = st.session_state.setdefault(_NOTICES, [])
    if sentence not in notices:
        notices.append(sentence)


def quoted(text: str, length: int = 80) -> str:
    """Return what a link says, for a notice: Markdown, at most so many characters of it."""
    return plain(text if len(text) <= length else f"{text[: length - 1]}…")


def show_notices() -> None:
    """Write what `notify` collected."""
    for sentence in st.session_state.get(_NOTICES, []):
        st.warning(sentence, icon=":material/link_off:")


def select(
    key: UrlKey,
    label: str,
    options: Sequence[str],
    help_text: str | None = None,
    *,
    width: int | Literal["stretch"] = "stretch",
) -> str:
    """Show a selectbox bound to the URL; an unknown value in the link is reported and replaced."""
    check_value(key, label, options)
    return st.selectbox(
        label,
        options,
        index=_default(key, options),
        key=key.name,
        bind="query-params",
        help=help_text,
        filter_mode="contains",
        width=width,
    )


def segmented_control(
    key: UrlKey, label: str, options: Sequence[str], help_text: str | None = None
) -> str:
    """Show a segmented control bound to the URL, one option always chosen."""
    check_value(key, label, options)
    chosen = st.segmented_control(
        label,
        options,
        default=options[_default(key, options)],
        required=True,
        key=key.name,
        bind="query-params",
        help=help_text,
    )
    return chosen or options[_default(key, options)]


def multiselect(
    key: UrlKey, label: str, options: Sequence[str], default: Sequence[str]
) -> list[str]:
    """Show a choice of any number of options, bound to the URL as one parameter each; unknown
    values in the link are reported and left out."""
    if key.name not in st.session_state:
        for wanted in st.query_params.get_all(key.name):
            if wanted and wanted not in options:
                _report_unknown(key, label, wanted)
    return st.multiselect(label, options, default, key=key.name, bind="query-params")


def toggle(key: UrlKey, label: str, help_text: str | None = None, *, default: bool = False) -> bool:
    """Show a switch bound to the URL. default: of a key whose own depends on the page (None)."""
    value = default if key.default is None else bool(key.default)
    return st.toggle(label, value, key=key.name, bind="query-params", help=help_text)


def select_by_id(
    key: UrlKey,
    label: str,
    names: Mapping[str, str],
    aliases: Iterable[tuple[str, str]] = (),
    help_text: str | None = None,
    *,
    width: int | Literal["stretch"] = "stretch",
) -> str | None:
    """Show a choice of one of many things that have an id, or of none; return its id.

    names: what each id is called; aliases: (other id, id) that a link may name it by as well.
    The parameter is the first 8 characters of the id: a bound widget would write the name instead.
    An unknown id is reported.
    """
    wanted = st.query_params.get(key.name, "").lower()
    found = None
    if wanted:
        pairs = itertools.chain(((name, name) for name in names), aliases)
        found = next((to for alias, to in pairs if alias.startswith(wanted)), None)
    if wanted and found is None:
        _report_unknown(key, label, wanted)
    choice = f"{key.name}_choice"
    st.session_state[choice] = found
    st.selectbox(
        label,
        list(names),
        index=None,
        format_func=lambda name: f"{names[name]} · {name[:8]}",
        key=choice,
        on_change=lambda: set_parameter(key, st.session_state[choice]),
        filter_mode="contains",
        placeholder="None",
        help=help_text,
        width=width,
    )
    return found


def set_parameter(key: UrlKey, identity: str | None) -> None:
    """Write the id of something into a parameter that no widget is bound to; None removes it."""
    if identity:
        st.query_params[key.name] = identity[:8]
    elif key.name in st.query_params:
        del st.query_params[key.name]


def slider(key: UrlKey, label: str, options: Sequence[str]) -> str:
    """Show a slider over options, bound to the URL; an unknown value in the link is reported."""
    check_value(key, label, options)
    return st.select_slider(
        label,
        options,
        value=options[_default(key, options)],
        key=key.name,
        bind="query-params",
    )


def range_slider(key: UrlKey, label: str, options: Sequence[str]) -> tuple[str, str]:
    """Show a slider with two ends over ordered options, bound to the URL as two parameters of one
    name. The key's default is both ends. A value that is not a range of the options is reported;
    Streamlit then shows the valid part of it, or the default."""
    wanted = st.query_params.get_all(key.name)
    known = len(wanted) == 2 and set(wanted) <= set(options)
    if key.name not in st.session_state and wanted and not known:
        asked = quoted(" to ".join(wanted))
        notify(f"The link asks for {plain(label.lower())} “{asked}”, which is not a valid range.")
    assert isinstance(key.default, tuple)
    first, last = key.default
    return st.select_slider(
        label,
        options,
        value=(first, last),
        key=key.name,
        bind="query-params",
    )


def pagination(key: UrlKey, n_pages: int) -> int:
    """Show a choice of pages, 1-based, bound to the URL, where there is more than one."""
    if n_pages <= 1:
        return 1
    check_value(key, "page", [str(number + 1) for number in range(n_pages)])
    return st.pagination(n_pages, key=key.name, bind="query-params")


def check_value(key: UrlKey, label: str, options: Sequence[str]) -> None:
    """Report a value in the link that is not an option; Streamlit then shows the default."""
    wanted = st.query_params.get(key.name)
    if key.name in st.session_state or wanted is None or wanted in options:
        return
    shown = options[_default(key, options)]
    if why := url_keys.REMOVED.get(key.name, {}).get(wanted):
        notify(f"{why} “{plain(shown)}” is shown instead.")
        return
    notify(
        f"The link asks for {plain(label.lower())} “{quoted(wanted)}”, which does not exist here; "
        f"“{plain(shown)}” is shown instead."
    )


def _report_unknown(key: UrlKey, label: str, wanted: str) -> None:
    if why := url_keys.REMOVED.get(key.name, {}).get(wanted):
        notify(why)
        return
    asked = f"{plain(label.lower())} “{quoted(wanted)}”"
    notify(f"The link asks for {asked}, which does not exist here.")


def full_link(page: str, revision: int) -> str:
    """Return the address of exactly this view: every parameter, and the store's revision."""
    values = []
    for key in url_keys.of_page(page):
        value = revision if key is url_keys.REVISION else _value(key)
        if isinstance(value, tuple | list):
            written = [str(one) for one in value] or [""]  # that none is chosen must be said too
        elif value is None or value == "":
            continue
        else:
            written = [str(value).lower() if isinstance(value, bool) else str(value)]
        values += [(key.name, one) for one in written]
    parts = urlsplit(st.context.url or "")
    path = parts.path.rstrip("/")
    for other in url_keys.PAGES[1:]:
        path = path.removesuffix(f"/{other}")
    base = f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return f"{base}{path}/{page}?{urlencode(values, quote_via=quote)}"


def pinned_revision() -> int | None:
    """Return the revision that the link names, None without one."""
    text = st.query_params.get(url_keys.REVISION.name, "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None  # as SQLite counts, at most


def _value(key: UrlKey) -> object:
    if key.name in st.session_state:
        return st.session_state[key.name]
    return st.query_params.get(key.name, key.default)


def _default(key: UrlKey, options: Sequence[str]) -> int:
    return options.index(key.default) if key.default in options else 0
