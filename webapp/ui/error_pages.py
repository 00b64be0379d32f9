"""Error messages for visitors: a sentence, never a traceback."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import streamlit as st

from db.maintenance import integrity
from drf.errors import DrfError
from webapp import store
from webapp.ui.text import plain

_LOG = logging.getLogger("drf.webapp")


@contextmanager
def boundary() -> Iterator[None]:
    """Around a page, or a fragment of it: show an error in place of the rest, and read the store
    as `store.one_run`.

    Every fragment and dialog needs this for itself, and `webapp.links.address.one_entry` around it:
    Streamlit runs it outside of the page.
    """
    try:
        with store.one_run():
            yield
    except DrfError as error:  # the store went away, or broke, between two reads
        show_store_error(error)
    except Exception as error:  # whatever else it is
        reason = integrity.explain(Path(store.path()))
        if reason is not None:
            show_store_error(reason)
        else:
            show_unexpected(error)


def show_store_error(error: DrfError) -> None:
    """Show why the store cannot be read, without the folders of the machine."""
    st.title("This store cannot be shown")
    sentence = str(error)
    with suppress(DrfError):  # the variable may name no path at all
        sentence = sentence.replace(store.path(), store.shown_path())
    st.error(plain(f"{sentence}."), icon=":material/database_off:")


def show_unexpected(error: Exception) -> None:
    """Log an error with its traceback under a new reference, and show a sentence with this."""
    reference = secrets.token_hex(4)
    _LOG.error("reference %s", reference, exc_info=error)
    st.error(
        "This page could not be shown. The traceback is in the server's log, under"
        f" reference {reference}.",
        icon=":material/error:",
    )
