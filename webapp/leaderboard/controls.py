"""The controls of the leaderboard: board, rows, columns and baseline.

Widths are such that two controls stand beside each other on a phone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from drf import scores
from webapp import store
from webapp.leaderboard import columns
from webapp.leaderboard.rows import ROWS
from webapp.leaderboard.table import DisplayOptions
from webapp.links import address, url_keys, widgets
from webapp.scores import ALL, ORDERS, filter_order, known_norms, sorts
from webapp.store import StoreVersion
from webapp.ui import badges

ROWS_A_PAGE = 25
"""As many as fit without a scroll bar of the table."""


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
    """Show the filters of boards, each of which offers what the ones before it leave, see
    `filter_order`; then the normalisers that the board has, and what a row is."""
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
    with st.container(horizontal=True, gap="small"):
        for key, column, label, help_text in filters:
            options = _offered(boards, column)
            where[column] = widgets.select(key, label, options, help_text, width=160)
            boards = boards[boards[column] == where[column]]
        norms = known_norms(store.leaderboard(current, **where, at_revision=at_revision))
        norm = widgets.segmented_control(
            url_keys.NORM, "Normalised by", list(norms), _norms_help(norms)
        )
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
    """Show what orders and filters the rows; return the arguments of `board.arrange`."""
    text = widgets.text_input(
        url_keys.BOARD_TEXT,
        "Find",
        placeholder="name, preset, id …",
        icon=":material/search:",
        width=170,
    )
    options = [ALL, *sorted(families)]
    family = widgets.select(url_keys.BOARD_FAMILY, "Family", options, width=170)
    sort = widgets.select(url_keys.BOARD_SORT, "Sort by", list(sorts()), width=160)
    order = widgets.segmented_control(url_keys.BOARD_ORDER, "Order", ORDERS)
    return {"sort": sort, "order": order, "text": text, "family": family}


def choose_display(
    current: StoreVersion, all_rows: pd.DataFrame, board: BoardChoice
) -> tuple[DisplayOptions, bool]:
    """Show the choices of columns and baseline; return them, and whether to show published results.

    all_rows: of the board, ranked, whatever is filtered: a baseline need not be in the view.
    """
    baseline = _baseline(current, all_rows)
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
    norm = board.norms[board.norm]
    others = tuple(other for other in board.norms.values() if every_norm and other != norm)
    return DisplayOptions((norm, *others), tuple(names), hide, baseline), published


def _baseline(current: StoreVersion, rows: pd.DataFrame) -> pd.Series | None:
    """Choose the row that others are compared with. A link may name a method where rows are runs,
    or a run where they are methods: then it is the best run of it, or the method of it. It may also
    name a method by its id in an earlier version."""

    def aliases() -> Iterator[tuple[str, str]]:
        for row, runs in zip(rows["id"], rows["runs"], strict=True):
            yield from ((run, row) for run in runs)
        yield from zip(rows["method"], rows["id"], strict=True)
        if (wanted := (address.get(url_keys.BOARD_BASE.name) or "").lower()) and (
            today := store.method_today(current, wanted)
        ):
            found = rows["id"][rows["method"] == today]
            yield from ((wanted, row) for row in found)

    names: dict[str, str] = {}
    for row in rows[["id", "name", "condition", "family"]].to_dict("records"):  # ranked come first
        names.setdefault(row.pop("id"), badges.marked(**row))
    called = dict(zip(rows["id"], rows["name"], strict=True))
    found = widgets.select_by_id(
        url_keys.BOARD_BASE,
        "Compare with",
        names,
        aliases(),
        called,
        "Adds a column with the difference in NME to this row and its paired interval.",
        width=230,
    )
    return None if found is None else rows[rows["id"] == found].iloc[0]


def _offered(boards: pd.DataFrame, column: str) -> list[str]:
    """Return the values of a filter in the order in which it offers them."""
    counts: Counter[str] = Counter()
    for name, entries in zip(boards[column], boards["entries"], strict=True):
        counts[name] += entries
    return sorted(counts, key=lambda name: filter_order(name, counts[name]))
