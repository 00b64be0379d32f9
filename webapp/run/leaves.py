"""Leaves of a run's forest: their distributions and the faces with the largest weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import streamlit as st

from drf.data.crops import decode_jpeg, encode_jpeg
from drf.landmarks import geometry
from drf.landmarks.markup import Markup
from drf.pictures import LeafPicture
from webapp import store
from webapp.links import url_keys, widgets
from webapp.run import leaf_card
from webapp.run.leaf_card import Portrait
from webapp.store import LeafFace, StoreVersion
from webapp.ui import theme
from webapp.ui.text import percent, plain

PAGE = 24
_ALL = "All"
_ORDERS: dict[str, Callable[[LeafPicture, np.ndarray], float]] = {
    "Share": lambda leaf, _: leaf.share,
    "Distance from the mean": leaf_card.offset,
}
_PORTRAIT_PX = 128
_SHOWN = 0.7  # share of a crop's side: it has room around the face, for augmentation


def show(current: StoreVersion, run: dict[str, Any]) -> None:
    """Show the leaves of a run, a page at a time, filtered by landmark and by tree."""
    run_id, markup = run["id"], store.markup(current.path, run["markup"])
    leaves, mean_shape = store.leaves(current, run_id)
    assert mean_shape is not None  # stored in one transaction with the leaves
    chosen = _choose(leaves, mean_shape)
    _legend(maps=any(leaves[number].distribution is not None for number in chosen))
    if not chosen:
        st.info("No leaf of this tree was kept.", icon=":material/search_off:")
        return
    page = widgets.pagination(url_keys.RUN_PAGE, -(-len(chosen) // PAGE))
    numbers = chosen[(page - 1) * PAGE : page * PAGE]
    cards = _cards(current, run_id, run["markup"], tuple(numbers))
    with st.grid(4, min_column_width=150, gap="medium") as grid:
        for number, card in zip(numbers, cards, strict=True):
            with grid.cell():
                leaf = leaves[number]
                caption = _caption(leaf, markup, leaf_card.offset(leaf, mean_shape))
                st.image(card, caption=caption, width="stretch", alt=_alt(leaf, markup))


def _choose(leaves: list[LeafPicture], mean_shape: np.ndarray) -> list[int]:
    """Return the positions of the leaves that the filters leave, in the order chosen."""
    titles = [*dict.fromkeys(leaf.title for leaf in leaves)]
    trees = [str(tree) for tree in sorted({leaf.tree for leaf in leaves})]
    with st.container(horizontal=True, gap="small"):
        title = widgets.select(url_keys.RUN_LEAVES, "Landmarks", [_ALL, *titles], width=220)
        tree = widgets.select(url_keys.RUN_TREE, "Tree", [_ALL, *trees], width=140)
        order = widgets.segmented_control(url_keys.RUN_LEAF_ORDER, "Order", [*_ORDERS])
    chosen = [
        number
        for number, leaf in enumerate(leaves)
        if title in (_ALL, leaf.title) and tree in (_ALL, str(leaf.tree))
    ]
    of = _ORDERS[order]
    return sorted(chosen, key=lambda number: -of(leaves[number], mean_shape))


def _legend(*, maps: bool) -> None:
    swatch = ':color[■]{{foreground="{}"}} {}'
    parts = (
        *([swatch.format(theme.BLUE, "distribution")] if maps else []),
        swatch.format(
            theme.VERMILLION,
            "mean of the leaf, ± 1 standard deviation; for a leaf of several landmarks the offset"
            f" from the mean shape is drawn {leaf_card.MAGNIFIED:g} times as large",
        ),
        swatch.format(
            theme.GREEN, "share of the routing; the longest bar is the largest share on this page"
        ),
        swatch.format("#888E94", "mean shape"),
        swatch.format(theme.SKY, "ground truth of the validation faces with the largest weights"),
    )
    st.caption("  ·  ".join(parts))


def _caption(leaf: LeafPicture, markup: Markup, offset: float) -> str:
    place = f"leaf {leaf.leaf} of tree {leaf.tree}"
    away = f", {100 * offset:.1f} % of the box from the mean" if leaf.landmarks else ""
    title = plain(f"{_of(leaf, markup)}{away}")
    return f"**{plain(percent(100 * leaf.share))}** · {place}  \n{title}"


def _of(leaf: LeafPicture, markup: Markup) -> str:
    """Return the title of a leaf, for a single landmark its name."""
    return markup.title(leaf.landmarks[0]) if len(leaf.landmarks) == 1 else leaf.title


def _alt(leaf: LeafPicture, markup: Markup) -> str:
    """Return the alt text of a card. Paths are shares of the face's box, spreads likewise."""
    x, y = leaf.points.mean(axis=0)
    std = float(np.sqrt((leaf.std.astype(float) ** 2).mean()))
    attracts = "attracts no face more than its siblings do"
    if leaf.faces:
        strongest, weakest = leaf.weights[0], leaf.weights[-1]
        attracts = f"attracts {len(leaf.faces)} faces, weights {strongest:.2f} to {weakest:.2f}"
    return (
        f"Leaf {leaf.leaf} of tree {leaf.tree}, {_of(leaf, markup)}: {percent(100 * leaf.share)} of"
        f" the routing; lies at {x:.2f} across and {y:.2f} down, standard deviation {std:.3f};"
        f" {attracts}"
    )


@st.cache_data(max_entries=16, show_spinner=False)
def _cards(current: StoreVersion, run_id: str, markup: str, numbers: tuple[int, ...]) -> list[str]:
    leaves, mean_shape = store.leaves(current, run_id)
    assert mean_shape is not None  # stored in one transaction with the leaves
    shown = [leaves[number] for number in numbers]
    largest = max(leaf.share for leaf in shown)
    found = store.leaf_faces(current.path, {face for leaf in shown for face in leaf.faces})
    portraits = {face: _portrait(stored) for face, stored in found.items()}
    of = store.markup(current.path, markup)
    return [
        leaf_card.card(leaf, mean_shape, of, [portraits[face] for face in leaf.faces], largest)
        for leaf in shown
    ]


def _portrait(face: LeafFace) -> Portrait | None:
    """Cut the middle out of a crop, as small as it is shown."""
    if face.crop is None:
        return None
    jpeg, to_picture = face.crop
    crop = decode_jpeg(jpeg)
    points = geometry.to_unit(
        geometry.apply(geometry.invert(to_picture), face.ground_truth), crop.shape[0]
    )
    margin = round(crop.shape[0] * (1 - _SHOWN) / 2)
    middle = crop[margin : len(crop) - margin, margin : len(crop) - margin]
    points = (points - margin / len(crop)) / (len(middle) / len(crop))
    small = cv2.resize(middle, (_PORTRAIT_PX, _PORTRAIT_PX), interpolation=cv2.INTER_AREA)
    return Portrait(encode_jpeg(small, quality=85), points)
