"""The table of the leaderboard on the page: HTML whose names are links, whose titles sort and whose
rows are ticked to be compared. `grid.js` builds it from `payload`, `grid.css` is its look.

`st.dataframe` draws on a canvas: it has no link that opens in the same tab, sorts without telling
the page, prints what is in sight, and screen readers do not hear which score is best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import pandas as pd
import streamlit as st

from db.boards.board import stand_in
from db.reads import BOARD
from drf import literature
from webapp.leaderboard import columns, table
from webapp.leaderboard.table import View
from webapp.links import url_keys
from webapp.scores import ORDERS, evaluation_label, sorts

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Order:
    """What orders the rows: a name of `webapp.scores.sorts`, and one of ORDERS."""

    sort: str
    order: str

    def turned(self, sort: str) -> Order:
        """Return the order after a click on the title that sorts by `sort`."""
        worst_first = sort == self.sort and self.order == ORDERS[0]
        return Order(sort, ORDERS[int(worst_first)])

    @property
    def direction(self) -> Literal["ascending", "descending"]:
        """Which way the values go down the table: the best are the smallest or the largest."""
        _, best_is_low = sorts()[self.sort]
        return "ascending" if best_is_low == (self.order == ORDERS[0]) else "descending"


def show(
    view: View,
    *,
    key: str,
    name: str,
    order: Order,
    ticked: Sequence[str],
    opened: str,
    link: Mapping[str, str],
    here: Mapping[str, Sequence[str]],
    on_sort: Callable[[Order], None],
    on_tick: Callable[[list[str]], None],
    on_open: Callable[[dict[str, str]], None],
) -> None:
    """Show a view. name: of the table, for screen readers; the others as `payload`.

    on_sort gets the order that a click on a title asks for, on_tick the runs of the rows that are
    ticked now, those among them that the view does not show, on_open the parameters of the link
    that was clicked.
    """
    shown = {stand_in(row) for row in _records(view.rows) if row["kind"] == "method"}
    elsewhere = [run for run in ticked if run not in shown]

    def sorted_by() -> None:
        if sort := st.session_state[key]["sort"]:
            on_sort(order.turned(sort))

    def ticked_now() -> None:
        if (rows := st.session_state[key]["ticked"]) is not None:
            on_tick([*elsewhere, *map(str, rows)])

    def opened_now() -> None:
        if target := st.session_state[key]["open"]:
            on_open({str(k): str(v) for k, v in target.items()})

    mount = st.components.v2.component(
        "drf.leaderboard",
        html='<div class="board"></div>',
        css=_read("grid.css"),
        js=_read("grid.js"),
    )
    mount(
        key=key,
        data={"name": name, **payload(view, order, ticked, opened, link, here)},
        on_sort_change=sorted_by,
        on_ticked_change=ticked_now,
        on_open_change=opened_now,
    )


def payload(
    view: View,
    order: Order,
    ticked: Sequence[str],
    opened: str,
    link: Mapping[str, str],
    here: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return what `grid.js` shows: columns with title and order, rows with their cells and links.

    ticked: the runs that stand for the rows whose boxes are ticked; opened: beginning of a run of
    the method that is open; link: parameters that every link to another page carries; here: those
    of this page, which a link to itself carries
    """
    by_norm = view.norms[0]
    heads = [
        {
            "key": key,
            "title": view.title(key),
            "help": columns.meaning(key),
            "number": columns.is_number(key),
            "sort": sort,
            "sorted": order.order.lower() if sort and sort == order.sort else None,
            "direction": order.direction if sort and sort == order.sort else None,
        }
        for key in view.table
        for sort in [columns.sort_of(key, by_norm)]
    ]
    rows = [
        {
            "kind": row["kind"],
            "ranked": bool(row["ranked"]) if row["kind"] != "published" else True,
            "tick": stand_in(row) if row["kind"] == "method" else None,
            "ticked": row["kind"] == "method" and stand_in(row) in ticked,
            "note": view.note_of(row),
            "cells": [{"text": c.text, "mark": c.emphasis, "hover": c.hover} for c in cells],
            **_links(row, opened, link, here),
        }
        for row, cells in zip(_records(view.rows), table.cells(view), strict=True)
    ]
    return {"columns": heads, "rows": rows}


_OF_ROWS = ("kind", "ranked", "runs", "seeds", "figures", *BOARD, "flip_test")
"""What `payload` reads of a row, of more than a hundred columns."""


def _records(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    return rows[[name for name in _OF_ROWS if name in rows]].to_dict("records")


def _links(
    row: Mapping[Any, Any],
    opened: str,
    link: Mapping[str, str],
    here: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return address and parameters of the link of a row, and whether its runs are open."""
    if row["kind"] == "published":
        return {"href": literature.papers()[row["figures"][0].paper].url, "target": None}
    if row["kind"] == "method" and len(row["runs"]) > 1:
        is_open = bool(opened) and any(run.startswith(opened) for run in row["runs"])
        target = {url_keys.BOARD_OPEN.name: "" if is_open else stand_in(row)[:8]}
        return {"href": f"?{_query({**here, **target})}", "target": target, "open": is_open}
    target = {
        **link,
        url_keys.RUN_ID.name: row["runs"][0][:8],
        url_keys.RUN_EVALUATION.name: evaluation_label(row),
    }
    return {"href": f"{url_keys.RUN}?{_query(target)}", "target": target}


def _query(parameters: Mapping[str, str | Sequence[str]]) -> str:
    return urlencode(parameters, doseq=True, quote_via=quote)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
