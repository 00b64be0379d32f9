"""The controls of the leaderboard: board, rows, columns and baseline.

Widths are such that two controls stand beside each other on a phone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import pandas as pd
import streamlit as st

from db.evaluations import StoredNorm
from webapp.leaderboard import columns
from webapp.leaderboard.rows import ROWS
from webapp.leaderboard.table import DisplayOptions
from webapp.links import url_keys, widgets
from webapp.scores import ALL, NORMS, ORDERS, SORTS, filter_order

ROWS_A_PAGE = 25
"""As many as fit without a scroll bar of the table."""


def choose_board(boards: pd.DataFrame) -> tuple[str, dict[str, str], bool]:
    """Show the filters of boards; return norm, values, and whether rows are runs; each filter
    offers what the ones before it leave, see `filter_order`."""
    chosen: dict[str, str] = {}
    filters = (
        (url_keys.BOARD_DATASET, "dataset", "Dataset", None),
        (url_keys.BOARD_SUBSET, "subset", "Subset", None),
        (
            url_keys.BOARD_LANDMARKS,
            "points",
            "Landmarks",
            "The landmarks that errors are averaged over.",
        ),
        (url_keys.BOARD_BOX, "box", "Box", "How faces were cropped; see About."),
    )
    with st.container(horizontal=True, gap="small"):
        norm = widgets.segmented_control(
            url_keys.NORM,
            "Normalised by",
            list(NORMS),
            "Distance of the outer eye corners (ocular) or of the eye centres (pupil). Rows are "
            "ranked by it.",
        )
        for key, column, label, help_text in filters:
            options = _offered(boards, column)
            chosen[column] = widgets.select(key, label, options, help_text, width=160)
            boards = boards[boards[column] == chosen[column]]
        as_rows = widgets.segmented_control(
            url_keys.BOARD_ROWS,
            "Rows",
            ROWS,
            "A method is the mean over runs that differ only in their seed.",
        )
    return norm, chosen, as_rows == ROWS[1]


def choose_rows(families: Iterable[str]) -> dict[str, str]:
    """Show what orders and filters the rows; return the arguments of `board.arrange`."""
    text = st.text_input(
        "Find",
        key=url_keys.BOARD_TEXT.name,
        bind="query-params",
        placeholder="name, preset, id …",
        icon=":material/search:",
        width=170,
    )
    options = [ALL, *sorted(families)]
    family = widgets.select(url_keys.BOARD_FAMILY, "Family", options, width=170)
    sort = widgets.select(url_keys.BOARD_SORT, "Sort by", list(SORTS), width=160)
    order = widgets.segmented_control(url_keys.BOARD_ORDER, "Order", ORDERS)
    return {"sort": sort, "order": order, "text": text, "family": family}


def choose_display(all_rows: pd.DataFrame, norm: StoredNorm) -> tuple[DisplayOptions, bool]:
    """Show the choices of columns and baseline; return them, and whether to show published results.

    all_rows: of the board, ranked, whatever is filtered: a baseline need not be in the view.
    """
    baseline = _baseline(all_rows)
    with st.popover("Columns", icon=":material/view_column:"):
        both = widgets.toggle(
            url_keys.BOARD_BOTH,
            "Both normalisations",
            "Show both; the rows stay ranked by the chosen one.",
        )
        published = widgets.toggle(
            url_keys.BOARD_PUBLISHED,
            "Published results",
            "Show published results of the same subset and normalisation, in grey and not ranked.",
        )
        hide = widgets.toggle(
            url_keys.BOARD_VARY,
            "Only columns that vary",
            "Columns with the same value in every row are listed below the table instead.",
        )
        names = widgets.multiselect(
            url_keys.BOARD_COLUMNS,
            "Columns",
            [column.name for column in columns.COLUMNS],
            columns.DEFAULT,
        )
    others = tuple(other for other in NORMS.values() if both and other != norm)
    return DisplayOptions((norm, *others), tuple(names), hide, baseline), published


def _baseline(rows: pd.DataFrame) -> pd.Series | None:
    """Choose the row that others are compared with. A link may name a method where rows are runs,
    or a run where they are methods: then it is the best run of it, or the method of it."""

    def aliases() -> Iterator[tuple[str, str]]:
        for row, runs in zip(rows["id"], rows["runs"], strict=True):
            yield from ((run, row) for run in runs)
        yield from zip(rows["method"], rows["id"], strict=True)

    found = widgets.select_by_id(
        url_keys.BOARD_BASE,
        "Compare with",
        dict(zip(rows["id"], rows["name"], strict=True)),
        aliases(),
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
