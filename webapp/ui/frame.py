"""Around every page: its style (`frame.css`), and the link to its table for those who use keys."""

from __future__ import annotations

import functools
from pathlib import Path

import streamlit as st

MUTED = 0.74
"""Share of the text's colour in that of captions, axes and ticks; the rest is the surface's."""
TABLE = "table"
"""Anchor of the table of a page."""


def show_style() -> None:
    """Put the style of the app into the page."""
    st.html(f"<style>{_css()}</style>")


@functools.cache
def _css() -> str:
    text = Path(__file__).with_name("frame.css").read_text(encoding="utf-8")
    return text.replace("MUTED", f"{MUTED:.0%}")


def skip_link() -> None:
    """Show, to those who reach it by the Tab key, a link past the controls to the table."""
    st.html(f'<a class="drf-skip" href="#{TABLE}">Skip to the table</a>')


def table_anchor() -> None:
    """Mark where the table of the page begins."""
    st.html(f'<div id="{TABLE}" tabindex="-1"></div>')
