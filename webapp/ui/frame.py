"""What stands around every page: its style, and the link to its table for those who use keys.

Streamlit draws captions and the axes of charts in a grey that has too little contrast (WCAG AA
asks for 4.5 : 1), and no option sets it; so it is mixed here from the colour of the text and that
of the surface, in either theme.
"""

from __future__ import annotations

import streamlit as st

from webapp.links import navigation

MUTED = 0.74
"""Share of the text's colour in that of captions, axes and ticks; the rest is the surface's."""
TABLE = "table"
"""Anchor of the table of a page."""

_CHART_TEXT = ".xtick text, .ytick text, .xtitle, .ytitle, .g-xtitle text, .g-ytitle text"
_MUTED = f"color-mix(in srgb, currentColor {MUTED:.0%}, transparent)"
STYLE = f"""<style>
[data-testid=stCaptionContainer] {{ color: inherit !important; opacity: 1 !important; }}
[data-testid=stCaptionContainer] :is(p, li) {{ color: {_MUTED} !important; }}
.stPlotlyChart :is({_CHART_TEXT}) {{ fill: {_MUTED} !important; }}
.st-key-{navigation.BAR} {{
  position: fixed; top: 0.8rem; left: 4rem; right: 3.5rem; z-index: 999991;
  width: auto; max-width: calc(100vw - 7.5rem); flex-wrap: nowrap; overflow-x: auto;
  scrollbar-width: none;
}}
.st-key-{navigation.BAR} > div {{ flex: none; }}
.drf-skip {{ position: absolute; left: -100vw; }}
.drf-skip:focus {{ position: fixed; left: 4rem; top: 3.2rem; z-index: 999992; }}
.drf-heard {{
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
}}
@media (max-width: 640px) {{
  [data-testid=stElementToolbar] {{ display: none; }}  /* it covers the controls above a table */
}}
@media print {{ .st-key-{navigation.BAR} {{ display: none; }} }}
</style>"""


def show_style() -> None:
    """Put the style of the app into the page."""
    st.html(STYLE)


def skip_link() -> None:
    """Show, to those who reach it by the Tab key, a link past the controls to the table."""
    st.html(f'<a class="drf-skip" href="#{TABLE}">Skip to the table</a>')


def table_anchor() -> None:
    """Mark where the table of the page begins."""
    st.html(f'<div id="{TABLE}" tabindex="-1"></div>')
