"""The same validation faces as predicted after each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from drf.scoring import scores
from webapp import store
from webapp.faces.tiles import Tile, draw, legend, show_tile
from webapp.links import url_keys, widgets
from webapp.store import StoreVersion

_LAST = str(url_keys.RUN_EPOCH.default)
_COLUMN_PX = 110


def show(current: StoreVersion, run: dict[str, Any], norm: str) -> None:
    """Show the watched faces of a run as predicted in the epoch of a slider; nothing if there are
    none. norm: of the error under each."""
    epochs = store.epochs(current, run["id"])
    if not epochs:
        return
    heading = st.empty()
    epoch = _choose(epochs)
    heading.subheader(f"Validation faces after epoch {epoch} of {epochs[-1]}")
    legend(error_segments=False)
    tiles = _tiles(current.path, current.revision, run["id"], epoch, run["landmarks"], norm)
    with st.grid(6, min_column_width=_COLUMN_PX, gap="small") as grid:
        for tile in tiles:
            with grid.cell():
                show_tile(tile, f"Epoch {epoch}: validation")


def _choose(epochs: list[int]) -> int:
    """Return the epoch that the visitor chose. The last one is called so, that a link follows a run
    that trains."""
    if len(epochs) == 1:
        return epochs[0]
    by_name = {str(epoch): epoch for epoch in epochs[:-1]} | {_LAST: epochs[-1]}
    chosen = widgets.slider(url_keys.RUN_EPOCH, "Epoch", list(by_name))
    return by_name[chosen]


@st.cache_data(max_entries=64, show_spinner=False)
def _tiles(
    path: str, revision: int, run_id: str, epoch: int, landmarks: str, norm: str
) -> list[Tile]:
    tiles = []
    for name, face in store.epoch_faces(path, run_id, epoch):
        shapes = np.stack([face.prediction]), np.stack([face.ground_truth])
        (error,) = scores.image_errors(*shapes, norm, face.markup, landmarks)
        tiles.append(Tile(name, float(error), draw([face])))
    return tiles
