"""What stands around every page: its style, and the link to its table for those who use keys.

Streamlit draws captions and the axes of charts in a grey that has too little contrast (WCAG AA
asks for 4.5 : 1), and no option sets it; so it is mixed here from the colour of the text and that
of the surface, in either theme.
"""

from __future__ import annotations

import functools
from pathlib import Path

import streamlit as st

MUTED = 0.74
"""Share of the text's colour in that of captions, axes and ticks; the rest is the surface's."""
TABLE = "table"
"""Anchor of the table of a page."""


def show_style() -> None:
    """Put the style of the app into the page: `look.css`."""
    st.html(_style())


@functools.cache
def _style() -> str:
    css = Path(__file__).with_name("look.css").read_text(encoding="utf-8")
    return f"<style>:root {{ --drf-muted: {MUTED:.0%}; }}\n{css}</style>"


def skip_link() -> None:
    """Show, to those who reach it by the Tab key, a link past the controls to the table."""
    st.html(f'<a class="drf-skip" href="#{TABLE}">Skip to the table</a>')


def table_anchor() -> None:
    """Mark where the table of the page begins."""
    st.html(f'<div id="{TABLE}" tabindex="-1"></div>')
