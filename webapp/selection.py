"""Selection of a board and of runs on it, for the pages that show runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from db import reads, status
from webapp import store
from webapp.links import address, share, url_keys, widgets
from webapp.links.names import matching
from webapp.links.url_keys import UrlKey
from webapp.scores import norms
from webapp.store import StoreVersion
from webapp.ui import badges
from webapp.ui.text import plain

SHORT = 8
"""Characters of an id in a link."""
_LEFT_ALONE = "_left_alone"
"""End of the state that says that a visitor chose runs, to which none is added."""


@dataclass(frozen=True)
class Board:
    """What runs are compared on. label: dataset/subset/box, with the landmarks unless all."""

    label: str
    dataset: str
    subset: str
    landmarks: str
    box: str


@dataclass(frozen=True)
class SelectedRun:
    """A run that is shown beside others.

    run         full id
    evaluation  the newest on the board, of those with the flip test if there are any
    flip_test   whether the evaluation used it
    label       its name, with the beginning of its id if another run has the same name, and with
                its condition where it is not ranked (untrusted)
    name        as it was given (untrusted)
    """

    run: str
    evaluation: int
    flip_test: bool
    label: str
    name: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """The key of its evaluation in caches, see `store.paired_errors`."""
        return self.run, self.evaluation


@dataclass(frozen=True)
class Choices:
    """What is chosen at the head of a page that shows runs side by side.

    norm   of the errors
    board  on which the runs compare
    rows   all runs of the board, as `entries`
    runs   the chosen ones
    """

    norm: str
    board: Board
    rows: pd.DataFrame
    runs: list[SelectedRun]

    @property
    def markup(self) -> str:
        """The name of the markup that the runs of the board have in common."""
        return str(self.rows["markup"].iloc[0])


def page_head(
    current: StoreVersion,
    title: str,
    evaluation: UrlKey,
    runs: UrlKey,
    *,
    width: int,
    at_least: int = 1,
    at_most: int | None = None,
) -> tuple[Choices | None, DeltaGenerator]:
    """Show the title of a page and the choices of norm, board and runs.

    evaluation, runs: URL keys of the choices; width: of the choice of runs, px; at_least, at_most:
    runs.
    Return the choices, None before the first evaluation, and the place for the page's link.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title)
        st.space("stretch")
        link = st.container(width="content")
    with st.container(horizontal=True, gap="small"):
        titles = norms()
        norm = titles[widgets.segmented_control(url_keys.NORM, "Normalised by", list(titles))]
        with st.container(width=220, key="beside_norm"):
            board = choose_board(current, evaluation)
        if board is None:
            st.info("No run has been evaluated yet.", icon=":material/hourglass_empty:")
            st.code("drf eval RUN", language="bash")
            return None, link
        rows = entries(current, board)
        with st.container(width=width):
            chosen = choose_runs(current, runs, rows, default=2, at_least=at_least, at_most=at_most)
    where = {column: getattr(board, column) for column in reads.BOARD}
    named = address.get(runs.name) is not None  # else the best of the board are shown
    share.show_revision_notice(current, where, [run.run for run in chosen] if named else None)
    return Choices(norm, board, rows, chosen), link


def choose_board(current: StoreVersion, key: UrlKey) -> Board | None:
    """Show a choice of the boards that have rows; return None if there is none."""
    boards = store.boards(current)
    if boards.empty:
        return None
    label = widgets.select(
        key, "Evaluation", list(boards["label"]), "Dataset, subset and box of the crops; see About."
    )
    row = boards[boards["label"] == label].iloc[0]
    return Board(label, row["dataset"], row["subset"], row["landmarks"], row["box"])


def entries(current: StoreVersion, chosen: Board) -> pd.DataFrame:
    """Return one row per run on a board (index: its id), by its NME: the columns of
    `reads.leaderboard` of the newest evaluation, of those with the flip test where there are any.
    What is not finished and sound (`db.status`) comes last.
    """
    rows = store.leaderboard(
        current,
        dataset=chosen.dataset,
        subset=chosen.subset,
        landmarks=chosen.landmarks,
        box=chosen.box,
    )
    newest = rows.sort_values(["flip_test", "evaluation"], ascending=False).drop_duplicates("run")
    order = ["unranked", reads.ranked_by(newest), "evaluation"]
    newest = newest.assign(unranked=~status.ranked(newest)).set_index("run").sort_values(order)
    return newest.drop(columns="unranked")


def best_of_methods(rows: pd.DataFrame, methods: pd.Series, n: int) -> list[str]:
    """Return the best runs of the n best methods; where there are fewer, the next runs too.

    rows: as `entries`; methods: run -> method. A run is not compared with its own seeds, nor with
    one that is not finished and sound, unless there is nothing else.
    """
    sound = rows.index[status.ranked(rows)]
    leaders = sound[~methods.reindex(sound).duplicated()]
    others = rows.index.difference(leaders, sort=False)
    return [*leaders, *others][:n]


def choose_runs(
    current: StoreVersion,
    key: UrlKey,
    rows: pd.DataFrame,
    *,
    default: int,
    at_least: int = 1,
    at_most: int | None = None,
) -> list[SelectedRun]:
    """Show a choice of runs on a board; `?KEY=` holds the beginnings of their ids, in order.

    Without it the `default` best methods are chosen; where a link names fewer than `at_least`, the
    best others are added. Unknown runs in the link are reported; where another board was chosen,
    those that it has not leave the link.
    """
    wanted = address.get(key.name)
    widget = f"{key.name}_choice"
    if wanted is None:
        chosen = best_of_methods(rows, store.method_of_runs(current), default)
    else:
        chosen = _found(current, key, [text for text in wanted.split(",") if text], rows)
        if at_most is not None and len(chosen) > at_most:
            widgets.notify(f"Of the {len(chosen)} runs in the link at most {at_most} are shown.")
            chosen = chosen[:at_most]
        if address.arriving():
            st.session_state[f"{key.name}{_LEFT_ALONE}"] = False
        if 0 < len(chosen) < at_least and not st.session_state.get(f"{key.name}{_LEFT_ALONE}"):
            others = rows.drop(index=chosen)
            best = best_of_methods(others, store.method_of_runs(current), at_least - len(chosen))
            chosen = [*chosen, *best]
    st.session_state[widget] = chosen
    st.session_state[key.name] = _written(chosen)  # so that a full link spells a default out
    names = badges.marked_names(rows).to_dict()
    st.multiselect(
        "Runs",
        list(names),
        format_func=lambda run: f"{names[run]} · {run[:SHORT]}",
        key=widget,
        max_selections=at_most,
        on_change=_write,
        args=(key.name, widget),
        placeholder="Choose runs",
        help="Runs are shown in this order. On Compare, the first one is the baseline.",
    )
    return selected_runs(chosen, rows)


def choose_one(key: UrlKey, label: str, among: Sequence[SelectedRun], default: int) -> int:
    """Show a choice of one of some runs; return its position. `?KEY=`: beginning of its id, or its
    name."""
    wanted = address.get(key.name)
    position = min(default, len(among) - 1)
    if wanted is not None:
        order = [one.run for one in among]
        meant = matching(wanted, {one.run: one.name for one in among})
        if meant:
            position = order.index(meant[0])
        else:
            widgets.refuse(
                key,
                f"The run “{widgets.quoted(wanted)}” of this link ({plain(label.lower())}) is not"
                " among those chosen.",
            )
    widget = f"{key.name}_choice"
    runs = {one.run: one for one in among}
    st.session_state[widget] = among[position].run
    st.session_state[key.name] = _written([among[position].run])
    st.selectbox(
        label,
        list(runs),
        format_func=lambda run: runs[run].label,
        key=widget,
        on_change=_write,
        args=(key.name, widget),
    )
    return position


def no_shared_face(norm: str) -> None:
    """Say that runs were evaluated on different faces, or that theirs lack what errors are divided
    by. norm: its key"""
    st.info(
        f"These runs have no face in common that has the {norm} distance.",
        icon=":material/difference:",
    )


def _found(
    current: StoreVersion, key: UrlKey, wanted: Sequence[str], rows: pd.DataFrame
) -> list[str]:
    """Return the full ids of runs that a link names, each once; report unknown ones, or drop them.
    Of several that share a name, and of a method, it is the best."""
    found: dict[str, None] = {}
    known_here = []
    names = rows["name"].to_dict()
    for text in wanted:
        meant = matching(text, names) or _of_method(current, text, rows)
        if meant:
            found[meant[0]] = None
            known_here.append(text)
        elif address.arriving():
            runs = store.runs(current)
            known = matching(text, dict(zip(runs["id"], runs["name"], strict=True)))
            why = "was not evaluated on this board" if known else "is not in the store"
            widgets.notify(f"The run “{widgets.quoted(text)}” of this link {why}.")
        if len(meant) > 1:
            widgets.notify(
                f"“{widgets.quoted(text)}” names {len(meant)} runs of this board; the best of them,"
                f" {meant[0][:SHORT]}, is shown."
            )
    if len(known_here) < len(wanted) and not address.arriving():
        address.amend(key.name, [",".join(known_here)])
    return [*found]


def _of_method(current: StoreVersion, wanted: str, rows: pd.DataFrame) -> list[str]:
    """Return the best run of the method that a link names by its id, today's or an earlier one."""
    today = store.method_today(current, wanted.lower()) if wanted else None
    methods = store.method_of_runs(current).reindex(rows.index)
    return list(rows.index[(methods == today).to_numpy(dtype=bool)][:1])


def selected_runs(chosen: Sequence[str], rows: pd.DataFrame) -> list[SelectedRun]:
    """Return the chosen runs with their labels. chosen: ids in rows, which are as `entries`."""
    names = rows.loc[list(chosen), "name"]
    shared = names.duplicated(keep=False)
    return [
        SelectedRun(
            run=run,
            evaluation=int(rows.loc[run, "evaluation"]),
            flip_test=bool(rows.loc[run, "flip_test"]),
            name=str(names[run]),
            label=badges.marked(
                f"{names[run]} · {run[:SHORT]}" if shared[run] else str(names[run]),
                *rows.loc[run, [*badges.MARKS[1:]]],
            ),
        )
        for run in chosen
    ]


def _written(runs: Sequence[str]) -> str:
    return ",".join(run[:SHORT] for run in runs)


def _write(parameter: str, widget: str) -> None:
    chosen = st.session_state[widget]
    st.session_state[f"{parameter}{_LEFT_ALONE}"] = True
    address.write(parameter, [_written([chosen] if isinstance(chosen, str) else chosen)])
