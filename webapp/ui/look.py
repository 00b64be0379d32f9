"""The look that Streamlit's theme has no setting for: on paper, and of buttons that hide."""

from __future__ import annotations

import functools
from pathlib import Path

import streamlit as st


def apply() -> None:
    """Add `look.css` to the page."""
    st.html(f"<style>{_css()}</style>")


@functools.cache
def _css() -> str:
    return Path(__file__).with_name("look.css").read_text(encoding="utf-8")
