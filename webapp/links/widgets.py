"""Controls tied to the address, links that contain the whole view, and the notice about what is
invalid in a link."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import streamlit as st

from webapp.links import address, url_keys
from webapp.links.names import matching
from webapp.links.url_keys import UrlKey
from webapp.ui import frame
from webapp.ui.text import plain

_NOTICES, _SHOWN = "notices", "shown"


def begin(page: str) -> None:
    """Start the run of a page: drop the notices of another address and check the keys of the
    link."""
    if address.arrive(page):
        st.session_state[_NOTICES], st.session_state[_SHOWN] = [], {}
    known = {key.name for key in url_keys.KEYS}
    for name in st.query_params:
        if name not in known and not name.startswith("embed"):
            notify(f"This version does not know “{quoted(name)}”; that part is ignored.")


def notify(sentence: str) -> None:
    """Add a sentence (Markdown) to the notice about the link, once, for as long as the page is
    open."""
    notices = st.session_state.setdefault(_NOTICES, [])
    if sentence not in notices:
        notices.append(sentence)


def refuse(key: UrlKey, sentence: str) -> None:
    """Report a value in the link that means nothing here. Where a choice on the page made it so,
    no link is to blame, and the value is dropped."""
    if address.arriving():
        notify(sentence)
    else:
        address.amend(key.name, [])


def quoted(text: str, length: int = 80) -> str:
    """Return what a link says, for a notice: Markdown, at most so many characters of it."""
    return plain(text if len(text) <= length else f"{text[: length - 1]}…")


def show_notices() -> None:
    """Write what `notify` collected, all of it in one box: the page must stay in sight."""
    notices = st.session_state.get(_NOTICES, [])
    if not notices:
        return
    shown = notices[:_MOST_NOTICES]
    if more := len(notices) - len(shown):
        shown = [*shown, f"{more} more parts of the link are not valid."]
    text = shown[0] if len(shown) == 1 else "\n".join(f"- {sentence}" for sentence in shown)
    st.warning(text, icon=":material/link_off:")


_MOST_NOTICES = 6


def _tied(
    key: UrlKey,
    default: Any,
    read: Callable[[list[str]], Any],
    written: Callable[[Any], list[str]] = lambda value: [str(value)],
) -> dict[str, Any]:
    """Return the arguments that tie a widget to its parameter of the address.

    The widget shows what the address says, and what is chosen is written there.
    read: of the values in the address, None where they mean nothing; the default is not written.
    """
    asked = address.get_all(key.name)
    value = read(asked) if asked else None
    if asked and value is None and not address.arriving():  # no longer among the options
        address.amend(key.name, [])
    shown = default if value is None else value
    st.session_state[key.name] = shown
    st.session_state.setdefault(_SHOWN, {})[key.name] = shown
    return {"key": key.name, "on_change": _write, "args": (key.name, default, written)}


def _write(name: str, default: Any, written: Callable[[Any], list[str]]) -> None:
    value = st.session_state[name]
    address.write(name, [] if value == default else written(value))


def _one_of(options: Sequence[str]) -> Callable[[list[str]], str | None]:
    """Return what reads one of some options, however its letters are written (Helen)."""
    return lambda asked: among(asked[-1], options)


def among(wanted: str, options: Iterable[str]) -> str | None:
    """Return the option that a link names, by itself or with other capital letters."""
    folded = {option.casefold(): option for option in options}
    return wanted if wanted in folded.values() else folded.get(wanted.casefold())


def select(
    key: UrlKey,
    label: str,
    options: Sequence[str],
    help_text: str | None = None,
    *,
    width: int | Literal["stretch"] = "stretch",
) -> str:
    """Show a selectbox tied to the address; an unknown value in the link is reported and
    replaced."""
    check_value(key, label, options)
    return st.selectbox(
        label,
        options,
        help=help_text,
        filter_mode="contains",
        width=width,
        **_tied(key, options[_default(key, options)], _one_of(options)),
    )


def segmented_control(
    key: UrlKey, label: str, options: Sequence[str], help_text: str | None = None
) -> str:
    """Show a segmented control tied to the address, one option always chosen."""
    check_value(key, label, options)
    default = options[_default(key, options)]
    chosen = st.segmented_control(
        label, options, required=True, help=help_text, **_tied(key, default, _one_of(options))
    )
    return chosen or default


def multiselect(
    key: UrlKey, label: str, options: Sequence[str], default: Sequence[str]
) -> list[str]:
    """Show a choice of any number of options, tied to the address as one parameter each; unknown
    values in the link are reported and left out."""

    def read(asked: list[str]) -> list[str] | None:
        if asked == [""]:  # none is chosen
            return []
        found = [among(wanted, options) for wanted in asked]
        return [option for option in dict.fromkeys(found) if option is not None] or None

    if address.arriving():
        for wanted in address.get_all(key.name):
            if wanted and among(wanted, options) is None:
                notify(_unknown(key, label, wanted))
    tie = _tied(key, list(default), read, lambda chosen: [*chosen] or [""])
    return st.multiselect(label, options, **tie)


def toggle(key: UrlKey, label: str, help_text: str | None = None, *, default: bool = False) -> bool:
    """Show a switch tied to the address. default: of a key whose own depends on the page (None)."""
    first = default if key.default is None else bool(key.default)
    tie = _tied(key, first, _as_bool, lambda on: [str(on).lower()])
    return st.toggle(label, help=help_text, **tie)


def _as_bool(asked: list[str]) -> bool | None:
    return {"true": True, "false": False}.get(asked[-1].lower())


def text_input(key: UrlKey, label: str, **look: Any) -> str:
    """Show a field for text, tied to the address. look: arguments of `st.text_input`."""
    return st.text_input(label, **look, **_tied(key, key.default or "", lambda asked: asked[-1]))


def tabs(
    key: UrlKey, label: str, options: Sequence[str], default: str | None = None
) -> Sequence[Any]:
    """Show tabs, the open one tied to the address; an unknown one in the link is reported.
    default: what is open without a link, where it is not the key's default."""
    check_value(key, label, options)
    first = default or options[_default(key, options)]
    shown = st.tabs(options, **_tied(key, first, _one_of(options)))
    if address.arriving() and address.get(key.name) is not None:
        frame.scroll_to_section()
    return shown


def select_by_id(
    key: UrlKey,
    label: str,
    names: Mapping[str, str],
    aliases: Iterable[tuple[str, str]] = (),
    called: Mapping[str, str] | None = None,
    help_text: str | None = None,
    *,
    width: int | Literal["stretch"] = "stretch",
) -> str | None:
    """Show a choice of one of many things that have an id, or of none; return its id.

    names: what is shown of each id; called: its name, where that is less (id -> name);
    aliases: (other id, id) that a link may name it by as well. The parameter is the first 8
    characters of the id. What is unknown in a link is reported.
    """
    if st.session_state.pop(address.STALE, False):
        st.rerun()  # a fragment changed what the links around it carry
    wanted = (address.get(key.name) or "").lower()
    found = None
    if wanted:
        meant = matching(wanted, called or names)
        others = (to for alias, to in aliases if alias.startswith(wanted))
        found = next(itertools.chain(meant, others), None)
    if wanted and found is None:
        refuse(key, _unknown(key, label, wanted))
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
    address.write(key.name, [identity[:8]] if identity else [])


def slider(key: UrlKey, label: str, options: Sequence[str]) -> str:
    """Show a slider over options, tied to the address; an unknown value in the link is reported."""
    check_value(key, label, options)
    tie = _tied(key, options[_default(key, options)], _one_of(options))
    return st.select_slider(label, options, **tie)


def range_slider(key: UrlKey, label: str, options: Sequence[str]) -> tuple[str, str]:
    """Show a slider with two ends over ordered options, tied to the address as two parameters of
    one name. The key's default is both ends. A value that is not a range of the options is reported
    and replaced by it."""

    def read(asked: list[str]) -> tuple[str, str] | None:
        known = len(asked) == 2 and set(asked) <= set(options)
        return (asked[0], asked[1]) if known else None

    assert isinstance(key.default, tuple)
    first, last = key.default
    wanted = address.get_all(key.name)
    if address.arriving() and wanted and read(wanted) is None:
        asked = quoted(" to ".join(wanted))
        notify(
            f"The range “{asked}” of this link ({plain(label.lower())}) is not valid;"
            f" “{plain(first)} to {plain(last)}” is shown."
        )
    tie = _tied(key, (first, last), read, list)
    return st.select_slider(label, options, value=(first, last), **tie)  # a tuple: two ends


def pagination(key: UrlKey, n_pages: int) -> int:
    """Show a choice of pages, 1-based, tied to the address, where there is more than one."""
    if n_pages <= 1:
        st.session_state.setdefault(_SHOWN, {})[key.name] = 1  # not a page that is gone
        return 1
    numbers = [str(number + 1) for number in range(n_pages)]
    check_value(key, "Page", numbers)
    tie = _tied(key, 1, lambda asked: int(asked[-1]) if asked[-1] in numbers else None)
    return st.pagination(n_pages, **tie)


def check_value(key: UrlKey, label: str, options: Sequence[str]) -> None:
    """Report a value in the link that is not an option; the default is then shown."""
    wanted = address.get(key.name)
    if not address.arriving() or wanted is None or among(wanted, options) is not None:
        return
    shown = options[_default(key, options)]
    if why := url_keys.REMOVED.get(key.name, {}).get(wanted):
        notify(f"{why} “{plain(shown)}” is shown instead.")
        return
    notify(
        f"This link sets “{plain(label)}” to “{quoted(wanted)}”, which does not exist here;"
        f" “{plain(shown)}” is shown instead."
    )


def _unknown(key: UrlKey, label: str, wanted: str) -> str:
    if why := url_keys.REMOVED.get(key.name, {}).get(wanted):
        return why
    asked = f"“{plain(label)}” to “{quoted(wanted)}”"
    return f"This link sets {asked}, which does not exist here; that part is ignored."


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
    text = address.get(url_keys.REVISION.name) or ""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None  # as SQLite counts, at most


def _value(key: UrlKey) -> object:
    shown = st.session_state.get(_SHOWN, {})
    if key.name in shown:
        return shown[key.name]
    return st.session_state.get(key.name, address.get(key.name) or key.default)


def _default(key: UrlKey, options: Sequence[str]) -> int:
    return options.index(key.default) if key.default in options else 0
