"""What is said of a fault that nobody foresaw: a sentence and a reference; the rest is logged."""

from __future__ import annotations

import logging
import secrets

import streamlit as st

_LOG = logging.getLogger("drf.webapp")


def tell(error: Exception) -> None:
    """Log an error in full under a fresh reference, and show the visitor a sentence with it."""
    reference = secrets.token_hex(4)
    _LOG.error("reference %s", reference, exc_info=error)
    st.error(
        "This page could not be shown. Whoever runs the app finds the fault in its log, under"
        f" reference {reference}.",
        icon=":material/error:",
    )
