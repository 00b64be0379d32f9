"""Marks of overlays for legends, each on a dark chip as on the halo of the pictures: sky blue and
yellow on a white page would have less contrast than 3 : 1."""

from __future__ import annotations

import html
from collections.abc import Sequence
from urllib.parse import quote

RING = '<circle cx="9" cy="9" r="4.5" fill="none" stroke="{0}" stroke-width="2"/>'
DISC = '<circle cx="9" cy="9" r="5" fill="{0}"/>'
SQUARE = '<rect x="4.5" y="4.5" width="9" height="9" fill="none" stroke="{0}" stroke-width="2"/>'
LINE = '<path d="M3 14 L15 4" stroke="{0}" stroke-width="2.5"/>'
_POLYGON = '<polygon points="{points}" fill="{{0}}"/>'
_STAR = "9,2 11,7 16,7 12,10.5 13.5,16 9,12.7 4.5,16 6,10.5 2,7 7,7"
OF_PLOTLY = {
    "circle": DISC,
    "square": '<rect x="4" y="4" width="10" height="10" fill="{0}"/>',
    "diamond": _POLYGON.format(points="9,2 16,9 9,16 2,9"),
    "triangle-up": _POLYGON.format(points="9,3 16,15 2,15"),
    "cross": '<path d="M9 3V15M3 9H15" stroke="{0}" stroke-width="4.5"/>',
    "x": '<path d="M4 4L14 14M14 4L4 14" stroke="{0}" stroke-width="4"/>',
    "star": _POLYGON.format(points=_STAR),
}
"""Marker of Plotly -> the same as SVG."""


def chip(mark: str, colour: str | tuple[int, int, int], text: str) -> str:
    """Return a mark in its colour and what it means, as HTML. text: as it was given by anybody."""
    written = colour if isinstance(colour, str) else f"rgb{colour}"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 18 18">'
        f'<rect width="18" height="18" rx="4" fill="#2B2F36"/>{mark.format(written)}</svg>'
    )
    # Streamlit takes SVG out of HTML, but not a picture.
    source = f"data:image/svg+xml,{quote(svg)}"
    look = "width:18px;height:18px;vertical-align:-4px;margin-right:6px"
    return f'<span><img src="{source}" alt="" style="{look}">{html.escape(text)}</span>'


def row(chips: Sequence[str]) -> str:
    """Return chips beside each other, on more lines where there is no room."""
    look = "display:flex;flex-wrap:wrap;gap:4px 18px;font-size:0.875rem"
    return f'<div style="{look}">{"".join(chips)}</div>'


def column(chips: Sequence[str]) -> str:
    """Return chips below each other."""
    look = "display:flex;flex-direction:column;gap:4px;font-size:0.875rem"
    return f'<div style="{look}">{"".join(chips)}</div>'
