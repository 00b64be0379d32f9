"""The controls of the leaderboard: board, rows, columns and baseline.

Widths are such that two controls stand beside each other on a phone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from db.boards import verdict
from db.boards.board import stand_ins
from db.reads import BOARD
from drf.scoring import scores
from webapp import store
from webapp.leaderboard import columns
from webapp.leaderboard.grid import Order
from webapp.leaderboard.rows import ROWS, named
from webapp.leaderboard.table import DisplayOptions
from webapp.links import address, url_keys, widgets
from webapp.scores import ALL, ORDERS, filter_order, known_norms, sorts
from webapp.store import StoreVersion
from webapp.ui import badges
from webapp.ui.text import plain

ROWS_A_PAGE = 25
"""Rows of a page of the table."""

_IN_SIGHT = 2
"""Filters that are always in sight; the others are in a menu, so that the table is on the first
screen of a phone."""


@dataclass(frozen=True)
class BoardChoice:
    """The board that is shown, and how.

    norm     title of the normaliser that ranks the rows
    norms    title -> key of all normalisers that the board has
    where    dataset, subset, landmarks and box
    as_runs  whether rows are runs and not methods
    """

    norm: str
    norms: dict[str, str]
    where: dict[str, str]
    as_runs: bool


def choose_board(
    current: StoreVersion, boards: pd.DataFrame, at_revision: int | None
) -> BoardChoice:
    """Show the title and the filters of boards, each of which offers what the ones before it leave
    (see `filter_order`); then the normalisers that the board has, and what a row is."""
    where: dict[str, str] = {}
    filters = (
        (url_keys.BOARD_DATASET, "dataset", "Dataset", None),
        (url_keys.BOARD_SUBSET, "subset", "Subset", None),
        (
            url_keys.BOARD_LANDMARKS,
            "landmarks",
            "Landmarks",
            "The landmarks that errors are averaged over.",
        ),
        (url_keys.BOARD_BOX, "box", "Box", "How faces were cropped; see About."),
    )
    head = st.container(horizontal=True, gap="small", vertical_alignment="bottom")
    head.title("Leaderboard", width="content")
    more = None
    left = boards[[*BOARD, "entries"]].to_dict("records")
    for key, column, label, help_text in filters:
        options = _offered(left, column)
        if len(where) == _IN_SIGHT:
            norm_place = head.container(width="content")
            more = head.popover("Landmarks, box, rows", icon=":material/tune:")
        with more or head:
            where[column] = widgets.select(key, label, options, help_text, width=160)
        left = [board for board in left if board[column] == where[column]]
    norms = known_norms(store.leaderboard(current, **where, at_revision=at_revision))
    with norm_place:
        norm = widgets.segmented_control(
            url_keys.NORM, "Normalised by", list(norms), _norms_help(norms)
        )
    assert more is not None
    with more:
        as_rows = widgets.segmented_control(
            url_keys.BOARD_ROWS,
            "Rows",
            ROWS,
            "A method is the mean over runs that differ only in their seed.",
        )
    return BoardChoice(norm, norms, where, as_rows == ROWS[1])


def _norms_help(norms: dict[str, str]) -> str:
    meanings = [f"{title}: {scores.normaliser(key).meaning}" for title, key in norms.items()]
    return " ".join([*meanings, "Rows are ranked by it."])


def choose_rows(families: Iterable[str]) -> dict[str, str]:
    """Show what orders and filters the rows, in a menu; return the arguments of `rows.arrange`."""
    with st.popover("Filter and sort", icon=":material/filter_list:"):
        text = widgets.text_input(
            url_keys.BOARD_TEXT,
            "Find",
            placeholder="name, preset, id …",
            icon=":material/search:",
        )
        options = [ALL, *sorted(families)]
        family = widgets.select(url_keys.BOARD_FAMILY, "Family", options)
        sort = widgets.select(
            url_keys.BOARD_SORT,
            "Sort by",
            list(sorts()),
            "The same as a click on the title of a column.",
        )
        order = widgets.segmented_control(url_keys.BOARD_ORDER, "Order", ORDERS)
    return {"sort": sort, "order": order, "text": text, "family": family}


def sort_by(order: Order) -> None:
    """Order the rows as a click on a title asks for: the controls and the link follow."""
    asked = ((url_keys.BOARD_SORT, order.sort), (url_keys.BOARD_ORDER, order.order))
    address.write_all({key.name: [] if it == key.default else [it] for key, it in asked})


def ticked() -> list[str]:
    """Return the beginnings of the ids of the runs that the link ticks."""
    return [run for run in (address.get(url_keys.BOARD_TICKED.name) or "").split(",") if run]


def tick(runs: Sequence[str]) -> None:
    """Write into the link which rows are ticked."""
    written = [",".join(run[:8] for run in runs)] if runs else []
    address.write(url_keys.BOARD_TICKED.name, written)


@dataclass(frozen=True)
class Display:
    """What is shown of the rows. published: whether published figures are; chosen: the row that a
    visitor chose as the baseline, None where the second row is."""

    how: DisplayOptions
    published: bool
    chosen: pd.Series | None


def choose_display(current: StoreVersion, all_rows: pd.DataFrame, board: BoardChoice) -> Display:
    """Show the choices of columns and baseline.

    all_rows: of the board, whatever is filtered: a baseline need not be in the view.
    """
    norm = board.norms[board.norm]
    with st.popover("Columns", icon=":material/view_column:"):
        every_norm = widgets.toggle(
            url_keys.BOARD_ALL_NORMS,
            "All normalisers",
            "Show the scores under all normalisers; the rows stay ranked by the chosen one.",
        )
        published = widgets.toggle(
            url_keys.BOARD_PUBLISHED,
            "Published results",
            "Show published results of the same subset and normaliser, in grey and not ranked.",
        )
        hide = widgets.toggle(
            url_keys.BOARD_VARY,
            "Only columns that vary",
            "Columns with the same value in every row are listed below the table instead.",
        )
        names = widgets.multiselect(
            url_keys.BOARD_COLUMNS,
            "Columns",
            [column.name for column in columns.available()],
            columns.default(),
        )
    following = verdict.second(all_rows, norm)
    chosen = _baseline(current, all_rows, following)
    others = tuple(other for other in board.norms.values() if every_norm and other != norm)
    baseline = following if chosen is None else chosen
    return Display(DisplayOptions((norm, *others), tuple(names), hide, baseline), published, chosen)


def _baseline(
    current: StoreVersion, rows: pd.DataFrame, following: pd.Series | None
) -> pd.Series | None:
    """Choose the row that others are compared with, None for the second. It is named by a run that
    stands for it; a link may name any of its runs, or a method, also by its id in an earlier
    version: where rows are runs that is the best run of the method."""
    stand_for = stand_ins(rows)

    def aliases() -> Iterator[tuple[str, str]]:
        wanted = (address.get(url_keys.BOARD_BASE.name) or "").lower()
        meant = zip(stand_for, named(rows, wanted), strict=True)
        yield from ((wanted, run) for run, is_meant in meant if is_meant)
        of_method = [*zip(rows["method"], stand_for, strict=True)]
        yield from of_method
        if wanted and (today := store.method_today(current, wanted)):
            yield from ((wanted, run) for method, run in of_method if method == today)

    names: dict[str, str] = {}
    called: dict[str, str] = {}
    both = zip(badges.marked_names(rows), rows["name"], strict=True)
    for run, (label, name) in zip(stand_for, both, strict=True):  # ranked come first
        names.setdefault(run, label)
        called.setdefault(run, name)
    with st.popover("Baseline", icon=":material/compare_arrows:"):
        if following is not None:
            st.caption(f"Where none is chosen, the second row: {plain(following['name'])}.")
        found = widgets.select_by_id(
            url_keys.BOARD_BASE,
            "Baseline",
            names,
            aliases(),
            called,
            "The column Δ NME shows the difference to this row and its paired interval.",
        )
    return None if found is None else rows.iloc[stand_for.index(found)]


def _offered(boards: Iterable[Mapping[Any, Any]], column: str) -> list[str]:
    """Return the values of a filter in the order in which it offers them."""
    counts: Counter[str] = Counter()
    for board in boards:
        counts[board[column]] += board["entries"]
    return sorted(counts, key=lambda name: filter_order(name, counts[name]))
