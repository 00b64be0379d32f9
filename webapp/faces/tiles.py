"""Faces as JPEG tiles with ground truth and predictions drawn on them, side by side for several
runs; a click on one opens it, large."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from drf.data.crops import decode_jpeg, encode_jpeg
from drf.landmarks import geometry, overlay
from webapp import store
from webapp.faces import dialog, marks
from webapp.faces.dialog import FaceDialogState
from webapp.links import address
from webapp.store import StoredFace
from webapp.ui import error_pages
from webapp.ui.text import percent, plain

SHOWN = 12
_TILE_PX = 420  # about twice the width on the page, for dense screens
_COLUMN_PX = 140
_COLUMNS = 6

# The line below a tile is a button, the only stop of the Tab key; for the mouse it covers the tile.
# Streamlit's own full screen of a small picture would be in the way.
_STYLE = """<style>
[class*="st-key-img_tile_"] { position: relative; }
[class*="st-key-img_tile_"] :has(> button), [class*="st-key-img_tile_"] :has(button):not(button) {
    position: static; }
[class*="st-key-img_tile_"] button::after {
    content: ""; position: absolute; inset: 0; cursor: zoom-in; border-radius: 4px; }
[class*="st-key-img_tile_"] button { position: static; }
[class*="st-key-img_tile_"] button:focus-visible::after { outline: 3px solid #0072B2; }
[class*="st-key-img_tile_"] [data-testid="stElementToolbar"] { display: none; }
</style>"""


@dataclass(frozen=True)
class Tile:
    """One face that is shown without being opened. jpeg is None where the store has no picture of
    it; error: fraction, NaN where the face has none under the normaliser."""

    name: str
    error: float
    jpeg: bytes | None


def extremes(errors: pd.DataFrame, norm: str) -> dict[str, pd.DataFrame]:
    """Return the faces with the largest errors, those around the median and those with the
    smallest, by what they are called.

    At most SHOWN each, never one in two. Worst and median begin with the largest error, best with
    the smallest; equal errors are ordered by name.
    """
    ordered = errors.sort_values([norm, "name"], ascending=[False, True], ignore_index=True)
    n = len(ordered)
    each = min(SHOWN, -(-n // 3))
    best = min(each, n - each)
    middle = min(each, n - each - best)
    first = min(max(each, (n - middle) // 2), n - best - middle)
    return {
        "Worst": ordered.head(each),
        "Median": ordered[first : first + middle],
        "Best": ordered.tail(best)[::-1],
    }


def grid(
    state: FaceDialogState,
    names: Sequence[str],
    said: Callable[[str], str],
    errors: dict[str, np.ndarray],
    *,
    kind: str = "",
    error_segments: bool = False,
) -> bool:
    """Show faces, each as all runs predict it; a click on one opens it. Return whether one was
    opened so in this run of the page.

    said: name -> the value under its picture · errors: name -> (r,) fractions, a run each
    kind: what the faces are examples of, for the alt text
    """
    st.html(_STYLE)
    runs = tuple((run.run, run.evaluation) for run in state.runs)
    ids = tuple(state.ids[name] for name in names)
    drawn = pictures(state.current.path, runs, ids, error_segments)
    labels = [run.label for run in state.runs]
    opened = []
    columns = max(1, _COLUMNS // len(runs))
    width = max(_COLUMN_PX, min(_COLUMN_PX * len(runs), 320))
    with st.grid(columns, min_column_width=width, gap="small") as cells:
        for name, picture in zip(names, drawn, strict=True):
            key = f"img_tile_{state.ids[name]}"
            with cells.cell(), st.container(gap="xxsmall", key=key):
                _picture(picture, f"{kind} face {name}".strip().capitalize(), labels, errors[name])
                opened.append(_opener(state, name, said(name)))
    return any(opened)


@st.fragment
def _opener(state: FaceDialogState, name: str, said: str) -> bool:
    """Show the line below a face; return whether it was clicked. A click runs this alone, and not
    the page with all its faces."""
    clicked = False
    with address.one_entry(), error_pages.boundary():
        clicked = st.button(
            f"**{plain(said)}** {plain(name.rpartition('/')[2])}",
            key=f"img_open_{state.ids[name]}",
            type="tertiary",
            width="stretch",
            on_click=dialog.open_one,
            args=(name,),
        )
        if clicked:
            dialog.show_wanted(state)
    return clicked


def _picture(jpeg: bytes | None, subject: str, labels: Sequence[str], errors: np.ndarray) -> None:
    """Show the predictions of all runs of a face in one picture, and below it whose they are."""
    listed = [f"{label} {percent(100 * e)}" for label, e in zip(labels, errors, strict=True)]
    if jpeg is None:
        with st.container(border=True, height=_COLUMN_PX, vertical_alignment="center"):
            st.caption("No picture of this face in the store", text_alignment="center")
    else:
        alt = f"{subject}: {', '.join(listed)}; ground truth and prediction drawn on it"
        st.image(jpeg, width="stretch", alt=alt)
    if len(labels) > 1:
        st.html(_columns(labels, errors))


def _columns(labels: Sequence[str], errors: np.ndarray) -> str:
    """Return name and error of every run as columns below its part of the picture, the smallest
    error bold."""
    least = np.nanmin(errors)
    cut = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    cells = []
    for label, error in zip(labels, errors, strict=True):
        value = percent(100 * error)
        value = f"<b>{value}</b>" if error == least else value
        name = html.escape(label)
        cells.append(
            f'<div style="min-width:0"><div style="{cut}" title="{name}">{name}</div>{value}</div>'
        )
    look = f"display:grid;grid-template-columns:repeat({len(labels)},1fr);gap:4px"
    return f'<div style="{look};font-size:0.8rem;line-height:1.3">{"".join(cells)}</div>'


def show_tile(face: Tile, kind: str) -> None:
    """Show a face with its error, not to be opened. kind: what it is an example of, for the alt
    text."""
    error = "–" if np.isnan(face.error) else percent(100 * face.error)
    caption = f"**{error}**  \n{plain(face.name)}"
    if face.jpeg is None:
        with st.container(border=True, height=_COLUMN_PX, vertical_alignment="center"):
            st.caption("No picture of this face in the store", text_alignment="center")
        st.caption(caption, text_alignment="center")
        return
    st.image(
        face.jpeg,
        caption=caption,
        width="stretch",
        alt=f"{kind} face {face.name}: error {error}, ground truth and prediction drawn on it",
    )


@st.cache_data(max_entries=32, show_spinner=False)
def pictures(
    path: str,
    runs: tuple[tuple[str, int], ...],
    ids: tuple[int, ...],
    error_segments: bool,
) -> list[bytes | None]:
    """Return `draw` of some faces by their ids. runs: (run, evaluation) each."""
    # Evaluations never change; the runs' ids guard against a file that was replaced (see store.py).
    found = store.faces(path, [(evaluation, face) for face in ids for _, evaluation in runs])
    each = len(runs)
    return [draw(found[k : k + each], error_segments) for k in range(0, len(found), each)]


def draw(face: Sequence[StoredFace], error_segments: bool = False) -> bytes | None:
    """Return the JPEG of a face as each of some runs predicts it, side by side in the same crop;
    None if the store has no picture of it.

    Of the ground truth only what the model predicts is drawn.
    """
    if face[0].crop is None:
        return None
    jpeg, to_picture = face[0].crop
    picture = decode_jpeg(jpeg)
    to_crop = geometry.invert(to_picture)
    side = _TILE_PX if len(face) == 1 else _TILE_PX * 3 // 4
    scale = max(1.0, side / max(picture.shape[:2]))
    cells = []
    for one in face:
        truth, predicted = geometry.apply(to_crop, np.stack([one.ground_truth, one.prediction]))
        truth[np.isnan(predicted)] = np.nan
        cells.append(
            overlay.draw(
                picture,
                truth,
                predicted,
                markup=one.markup,
                scale=scale,
                error_segments=error_segments,
                visibility=one.visibility,
            )
        )
    return encode_jpeg(_side_by_side(cells))


def _side_by_side(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Join pictures of one height, with a dark line between them."""
    line = np.zeros((len(cells[0]), 4, 3), np.uint8)
    parts = [part for cell in cells for part in (cell, line)]
    return np.concatenate(parts[:-1], axis=1)


def legend(error_segments: bool, *, hidden: bool = False) -> None:
    """Show the legend of the overlay in its colours and forms. hidden: whether any landmark is."""
    parts = [
        marks.chip(marks.RING, overlay.GROUND_TRUTH, "ground truth"),
        marks.chip(marks.DISC, overlay.PREDICTION, "prediction"),
    ]
    if hidden:
        parts.append(marks.chip(marks.SQUARE, overlay.GROUND_TRUTH, "hidden landmark"))
        parts.append(marks.chip(marks.RING, overlay.PREDICTION, "prediction of a hidden landmark"))
    if error_segments:
        parts.append(marks.chip(marks.LINE, overlay.ERROR, "error of each landmark"))
    st.html(marks.row(parts))
