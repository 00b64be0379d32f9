"""Faces of one evaluation with ground truth and prediction drawn on them, as JPEG tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from drf import geometry, overlay
from drf.data.crops import decode_jpeg, encode_jpeg
from webapp import store
from webapp.store import StoredFace, StoreVersion
from webapp.ui.text import percent, plain

SHOWN = 12
_TILE_PX = 420  # about twice the width on the page, for dense screens
_COLUMN_PX = 140


@dataclass(frozen=True)
class Tile:
    """One face of the grid. jpeg is None where the store has no picture of it; error: fraction."""

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
    current: StoreVersion,
    run_id: str,
    evaluation: int,
    faces: pd.DataFrame,
    *,
    norm: str,
    kind: str,
    error_segments: bool,
) -> None:
    """Show faces (rows of `store.image_errors`) with their error under each."""
    ids = tuple(int(face) for face in faces["face"])
    drawn = pictures(current.path, run_id, evaluation, ids, error_segments)
    with st.grid(6, min_column_width=_COLUMN_PX, gap="small") as tiles:
        for name, error, picture in zip(faces["name"], faces[norm], drawn, strict=True):
            with tiles.cell():
                show_tile(Tile(str(name), float(error), picture), kind)


def show_tile(face: Tile, kind: str) -> None:
    """Show a face with its error. kind: what it is an example of, for the alt text."""
    error = percent(100 * face.error)
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
    path: str, run_id: str, evaluation: int, ids: tuple[int, ...], error_segments: bool
) -> list[bytes | None]:
    """Return `draw` of some faces of an evaluation, by their ids."""
    # Evaluations never change; run_id guards against a file that was replaced (see store.py).
    found = store.faces(path, [(evaluation, face) for face in ids])
    return [draw(face, error_segments) for face in found]


def draw(face: StoredFace, error_segments: bool = False) -> bytes | None:
    """Return the JPEG of a face with both shapes, None if the store has no picture of it.

    Of the ground truth only what the model predicts is drawn.
    """
    if face.crop is None:
        return None
    jpeg, to_picture = face.crop
    picture = decode_jpeg(jpeg)
    to_crop = geometry.invert(to_picture)
    truth, predicted = geometry.apply(to_crop, np.stack([face.ground_truth, face.prediction]))
    truth[np.isnan(predicted)] = np.nan
    scale = max(1.0, _TILE_PX / max(picture.shape[:2]))
    drawn = overlay.draw(
        picture,
        truth,
        predicted,
        markup=face.markup,
        scale=scale,
        error_segments=error_segments,
    )
    return encode_jpeg(drawn)


def legend(error_segments: bool) -> None:
    """Show the legend of the overlay in its colours."""
    parts = [("ground truth, rings", overlay.GROUND_TRUTH)]
    parts.append(("prediction, discs", overlay.PREDICTION))
    if error_segments:
        parts.append(("error of each landmark", overlay.ERROR))
    swatch = ':color[■]{{foreground="#{:02X}{:02X}{:02X}"}} {}'
    st.caption("  ·  ".join(swatch.format(*colour, name) for name, colour in parts))
