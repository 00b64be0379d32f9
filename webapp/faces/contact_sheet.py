"""A figure for a paper: faces down, runs across, the prediction of each on the same crop."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from webapp import store
from webapp.faces import tiles
from webapp.faces.dialog import FaceDialogState

_SIDE, _GAP, _LEFT, _TOP = 160, 6, 150, 26
_FONT = "font-family:Helvetica,Arial,sans-serif"
_FITS = 22  # characters above a picture


def of_faces(state: FaceDialogState, rows: Sequence[tuple[str, str]]) -> str:
    """Return the SVG of faces. rows: the name of each, and the value below it."""
    wanted = [(run.evaluation, state.ids[name]) for name, _ in rows for run in state.runs]
    found = store.faces(state.current.path, wanted)
    n = len(state.runs)
    pictures = [
        [tiles.draw([face]) for face in found[k * n : (k + 1) * n]] for k in range(len(rows))
    ]
    return svg([run.label for run in state.runs], rows, pictures)


def svg(
    labels: Sequence[str],
    rows: Sequence[tuple[str, str]],
    pictures: Sequence[Sequence[bytes | None]],
) -> str:
    """Return the figure: a heading per column, name and value before each row, JPEGs in the cells,
    a frame for None. All texts as they were given by anybody."""
    step = _SIDE + _GAP
    width, height = _LEFT + len(labels) * step, _TOP + len(rows) * step
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" style="{_FONT}" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#FFFFFF"/>',
    ]
    for k, label in enumerate(labels):
        x = _LEFT + k * step + _SIDE / 2
        parts.append(_text(x, _TOP - 9, label, _FITS, 'text-anchor="middle" font-size="12"'))
    for line, ((name, value), cells) in enumerate(zip(rows, pictures, strict=True)):
        y = _TOP + line * step
        parts.append(_text(0, y + 14, name.rpartition("/")[2], _FITS, 'font-size="12"'))
        parts.append(_text(0, y + 30, value, 2 * _FITS, ""))
        parts += [_cell(_LEFT + k * step, y, cell) for k, cell in enumerate(cells)]
    return "".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, fits: int, look: str) -> str:
    short = text if len(text) <= fits else f"{text[: fits - 1]}…"
    return f'<text x="{x}" y="{y}" {look}>{html.escape(short)}</text>'


def _cell(x: float, y: float, jpeg: bytes | None) -> str:
    frame = f'x="{x}" y="{y}" width="{_SIDE}" height="{_SIDE}"'
    if jpeg is None:
        return f'<rect {frame} fill="none" stroke="#888888"/>'
    data = base64.b64encode(jpeg).decode()
    return f'<image {frame} href="data:image/jpeg;base64,{data}"/>'
