"""The table of the leaderboard for screen readers, with what the canvas only draws: the marks."""

from __future__ import annotations

from html import escape

import pandas as pd

from webapp.leaderboard import columns
from webapp.leaderboard.table import View, best_of_view


def as_html(view: View, caption: str) -> str:
    """Return an HTML table of a view that is heard and not seen. Best and second are said; a
    condition that keeps a row from being ranked is in its name."""
    marks: dict[tuple[object, str], str] = {}
    for key in view.table:
        if columns.better(key):
            best, second = best_of_view(view, key)
            marks |= {(label, key): "best" for label in best}
            marks |= {(label, key): "second" for label in second}
    head = "".join(f'<th scope="col">{escape(view.title(key))}</th>' for key in view.table)
    body = "".join(
        "<tr>"
        + "".join(_cell(value, key, marks.get((label, key))) for key, value in row.items())
        + "</tr>"
        for label, row in view.table.iterrows()
    )
    title = f"<caption>{escape(caption)}</caption>"
    rows = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="drf-heard">{title}{rows}</table>'


def _cell(value: object, key: str, mark: str | None) -> str:
    said = "not known" if pd.isna(value) else f"{value:.2f}" if isinstance(value, float) else value
    text = escape(f"{said}, {mark}" if mark else str(said))
    return f'<th scope="row">{text}</th>' if key == "name" else f"<td>{text}</td>"
