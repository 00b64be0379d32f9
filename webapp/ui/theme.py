"""Colours and the look of charts. Surfaces and type are Streamlit's, set in .streamlit/config.toml.

The palette is Okabe and Ito's, which stays apart in every kind of colour blindness; the four used
for lines are those legible on both the light and the dark surface.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY = "#56B4E9"
LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Beside the colours of LINES, for who cannot tell these apart."""

SEQUENTIAL = ((0, "#0B4F80"), (0.5, "#6FA8CF"), (1, "#E3EEF6"))
"""Of an error in a table: the better, the deeper."""
DIVERGING = ((0, BLUE), (0.5, "#F2F2F0"), (1, VERMILLION))
"""Of a difference around 0: better to worse."""

QUIET = "rgba(128, 136, 148, 0.75)"
"""Marks that explain the data: thresholds, the best epoch. Legible on both surfaces."""
GREY = "#727A86"
"""Words that stand back: figures of others. 4 : 1 or more on both surfaces."""
GRID = "rgba(128, 136, 148, 0.18)"

CHART_CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtons": [["toImage", "resetScale2d"]],
    "toImageButtonOptions": {"format": "svg"},
}
"""Plotly's toolbar: an SVG for a paper, and back from a zoom."""


def ink(surface: Sequence[float]) -> str:
    """Return black or white, whichever reads better on a colour, (3,) sRGB in 0..1: the contrast
    (L1 + 0.05) / (L2 + 0.05) of relative luminances (WCAG 2.2) is then at least 4.58."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in surface]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#FFFFFF"


_TITLE, _BESIDE_NAMES = 46, 28
"""Characters of an axis title that a phone shows on one line."""


def wrapped(title: str, length: int = _TITLE) -> str:
    """Return the title of an axis in lines that a phone shows whole."""
    return "<br>".join(textwrap.wrap(title.replace("<br>", " "), length, break_long_words=False))


def layout(*, x: str, y: str, height: int = 340) -> dict[str, Any]:
    """Return Plotly's layout of every chart: titles of the axes, nothing that is not data. y: empty
    where names stand at the axis, which leave less room to the title of the other."""
    # Nested: `title_text` and its like take Plotly longer than all the rest.
    title = {"standoff": 18, "font": {"size": 13}}
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"size": 12},
        "automargin": True,
    }
    return {
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 36, "b": 8},
        "colorway": list(LINES),
        "hovermode": "x unified",
        "hoverlabel": {"namelength": -1},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "xaxis": {**axis, "title": {**title, "text": wrapped(x, _TITLE if y else _BESIDE_NAMES)}},
        "yaxis": {**axis, "title": {**title, "text": wrapped(y)}},
    }
