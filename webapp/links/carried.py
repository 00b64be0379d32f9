"""What travels from page to page: board, normaliser, runs and baseline.

Every page has keys of its own for them (`webapp/links/url_keys.py`). `seen` reads them from the
address of one page and `parameters` writes them for another; both are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from webapp.links import url_keys
from webapp.links.address import Parameters
from webapp.links.url_keys import BASELINES, EVALUATIONS, FILTERS, RUNS

_PLACES = {
    key.name
    for key in (
        *(url_keys.BOARD_PAGE, url_keys.BOARD_OPEN, url_keys.IMAGES_PAGE, url_keys.FROM_VIEW),
        *(url_keys.IMAGES_A, url_keys.IMAGES_B, url_keys.COMPARE_X, url_keys.COMPARE_Y),
        *(url_keys.RUN_EPOCH, url_keys.RUN_LEAVES, url_keys.RUN_TREE, url_keys.RUN_PAGE),
        *(url_keys.REVISION, url_keys.PINNED),
    )
}
"""What means nothing on another board or of other runs."""

_DIALOGS = {key.name for key in (url_keys.IMAGES_FACE, url_keys.CARD)}
"""What opens over a page, and is closed when one comes to it by the bar."""

_AT_LEAST, _AT_MOST = 2, 6  # runs of Compare


@dataclass(frozen=True)
class Carried:
    """board: label of an evaluation, dataset/subset/box; None for the first of the store
    norm: title of a normaliser, None for the first; runs, baseline: as links name them
    """

    board: str | None = None
    norm: str | None = None
    runs: tuple[str, ...] = ()
    baseline: str | None = None


def seen(page: str, address: Parameters, boards: pd.DataFrame, before: Carried) -> Carried:
    """Return what travels on from a page. boards: `webapp.store.boards`; before: what travelled
    to it, for what the page does not show."""
    one = {name: values[-1] for name, values in address.items() if values}
    found = before
    if page in url_keys.NORM.pages:
        found = replace(found, norm=one.get(url_keys.NORM.name))
    if page == url_keys.LEADERBOARD:
        found = replace(found, board=_filtered(one, boards))
    elif label := one.get(EVALUATIONS.get(page, "")):
        found = replace(found, board=_label(label, boards))
    elif page in EVALUATIONS and page != url_keys.RUN:  # a run's first evaluation is its own
        found = replace(found, board=None)
    if (runs := one.get(RUNS.get(page, ""))) is not None:
        several = [runs] if page == url_keys.RUN else runs.split(",")
        found = replace(found, runs=tuple(run for run in several if run and "," not in run))
    if page == url_keys.LEADERBOARD or one.get(BASELINES.get(page, "")):
        found = replace(found, baseline=one.get(BASELINES[page]))
    return found


def parameters(
    page: str, carried: Carried, boards: pd.DataFrame, last: Parameters | None = None
) -> dict[str, list[str]]:
    """Return the parameters of a link to a page. last: those that the page had when it was last
    seen, which it keeps as far as they mean something."""
    new: dict[str, str | None] = {}
    if page in url_keys.NORM.pages:
        new[url_keys.NORM.name] = carried.norm
    if page == url_keys.LEADERBOARD:
        new |= _filters(carried.board, boards)
    elif page in EVALUATIONS:
        new[EVALUATIONS[page]] = _evaluation(page, carried.board, boards)
    if page in RUNS and page != url_keys.LEADERBOARD and carried.runs:
        new[RUNS[page]] = _runs(page, carried.runs, last)
    if page in BASELINES and (carried.baseline or page == url_keys.LEADERBOARD):
        new[BASELINES[page]] = carried.baseline
    kept = {name: list(v) for name, v in (last or {}).items() if name not in _DIALOGS}
    written = {name: [] if value is None else [value] for name, value in new.items()}
    changed = {name for name, values in written.items() if kept.get(name, []) != values}
    if changed - {url_keys.NORM.name}:
        kept = {name: values for name, values in kept.items() if name not in _PLACES}
    return {name: values for name, values in (kept | written).items() if values}


def _runs(page: str, runs: Sequence[str], last: Parameters | None) -> str:
    if page == url_keys.RUN:
        return runs[0]
    before = [run for run in _first(last, RUNS[page]).split(",") if run]
    if page == url_keys.COMPARE and len(runs) < _AT_LEAST:  # a comparison needs another one
        runs = before if runs[0] in before else [*runs, *before][:_AT_LEAST]
    return ",".join(runs[:_AT_MOST])


def _first(parameters: Parameters | None, name: str) -> str:
    return next(iter((parameters or {}).get(name, ())), "")


def _filtered(one: Mapping[str, str], boards: pd.DataFrame) -> str | None:
    """Return the label of the board that the filters of the leaderboard show."""
    asked = {column: one[name] for column, name in FILTERS.items() if name in one}
    if not asked:
        return None
    left = boards
    for column, value in asked.items():
        same = [one.casefold() == value.casefold() for one in left[column]]
        left = left[same] if any(same) else left
    return None if left.empty else str(left["label"].iloc[0])


def _evaluation(page: str, label: str | None, boards: pd.DataFrame) -> str | None:
    """Return the label of a board as a page offers it: that of a run says its flip test too."""
    board = None if page == url_keys.RUN else row(label, boards)
    return label if board is None else str(board["label"])


def _label(label: str, boards: pd.DataFrame) -> str | None:
    return None if row(label, boards) is None else label


def row(label: str | None, boards: pd.DataFrame) -> pd.Series | None:
    """Return the board that a label in a link names, whatever its case; None for none."""
    wanted = (label or "").removesuffix("/no-flip").casefold()
    labels = [one.casefold() for one in boards["label"]]
    return boards.iloc[labels.index(wanted)] if wanted in labels else None


def _filters(label: str | None, boards: pd.DataFrame) -> dict[str, str | None]:
    board = row(label, boards)
    return {name: None if board is None else board[column] for column, name in FILTERS.items()}
