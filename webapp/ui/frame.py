"""Around every page: its style (`frame.css`), and the link to its table for those who use keys."""

from __future__ import annotations

import functools
import html
from collections.abc import Mapping
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


def scroll_to_section() -> None:
    """Move to the tabs of the page, where a link names one of them and they are below the middle of
    the screen: what the link is about is in sight, on a wide screen below the name of the page."""
    st.html(f"<script>{_TO_SECTION}</script>", unsafe_allow_javascript=True)


# The page comes piece by piece and moves the tabs down: so this is done for a few seconds, or until
# the visitor does something.
_TO_SECTION = """
const timer = setInterval(() => {
  const tab = document.querySelector("[role=tab][aria-selected=true]");
  if (tab && tab.getBoundingClientRect().top > innerHeight / 2) {
    tab.scrollIntoView({ block: innerWidth < 800 ? "start" : "center", inline: "center" });
  }
}, 100);
const stop = () => clearInterval(timer);
setTimeout(stop, 5000);
["wheel", "touchstart", "pointerdown", "keydown"].forEach((input) => {
  addEventListener(input, stop, { once: true, passive: true });
});
"""


def definitions(facts: Mapping[str, object]) -> None:
    """Show names and what they stand for, side by side; – for None. They are one element
    of the page."""
    listed = "".join(
        f"<div><dt>{html.escape(name)}</dt>"
        f"<dd>{'–' if value is None else html.escape(str(value))}</dd></div>"
        for name, value in facts.items()
    )
    st.html(f'<dl class="drf-facts">{listed}</dl>')


def skip_link() -> None:
    """Show, to those who reach it by the Tab key, a link past the controls to the table."""
    st.html(f'<a class="drf-skip" href="#{TABLE}">Skip to the table</a>')


def table_anchor() -> None:
    """Mark where the table of the page begins."""
    st.html(f'<div id="{TABLE}" tabindex="-1"></div>')
