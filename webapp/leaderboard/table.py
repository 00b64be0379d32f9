"""The table of the leaderboard: rows with intervals, the runs of an opened method, and published
results; and its cells as the page and the files show them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from db.analysis import comparability
from db.recording import latencies
from drf.data import floor
from drf.literature import Figure
from drf.scoring import scores, statistics
from drf.text import FLOOR
from webapp.leaderboard import columns, intervals
from webapp.scores import best_and_second
from webapp.store import StoreVersion

Kind = Literal["method", "run", "published"]
Emphasis = Literal["best", "second", ""]
OPENED = "↳ "


@dataclass(frozen=True)
class Cell:
    """One cell: its text, whether numbers stand in it, whether it is best; hover: more about it."""

    text: str
    number: bool
    emphasis: Emphasis = ""
    hover: str = ""


@dataclass(frozen=True)
class DisplayOptions:
    """What the table shows of its rows.

    norms     keys of normalisers, shown side by side; rows are ranked by the first
    names     names of `columns.available`
    hide      whether columns with the same value in every row are left out
    baseline  row that the others are compared with
    """

    norms: tuple[str, ...]
    names: tuple[str, ...]
    hide: bool
    baseline: pd.Series | None = None


@dataclass(frozen=True)
class View:
    """rows: with intervals and `kind`; table: their cells, in the same order; hidden:
    title and value of the columns left out; over: what intervals are over, by the key of their
    column; notes: sentences that the table cannot do without, see `notes`; remarks: those of
    `comparability.remarks` on these rows and the baseline; baseline: its name."""

    rows: pd.DataFrame
    table: pd.DataFrame
    norms: tuple[str, ...]
    hidden: dict[str, str]
    over: dict[str, str]
    notes: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    baseline: str | None = None

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Where the published figures are from, each once: the notes that their rows refer to."""
        published = self.rows[self.rows["kind"] == "published"]
        figures = [] if published.empty else published["figures"].sum()
        return tuple(dict.fromkeys(map(source_of, figures)))

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """Those rows of the table that are ranked."""
        both = zip(self.rows["kind"], self.rows["ranked"], strict=True)
        return self.table[[kind == "method" and bool(ranked) for kind, ranked in both]]

    def note_of(self, row: Mapping[Any, Any]) -> int | None:
        """Return the number of the note of a row, from 1; None for one of ours."""
        figures = _figures(row)
        return self.sources.index(source_of(figures[0])) + 1 if figures else None

    def title(self, key: str) -> str:
        """Return the title of a column of the table."""
        return columns.title(key, self.norms, self.over)


def build(
    current: StoreVersion,
    rows: pd.DataFrame,
    how: DisplayOptions,
    *,
    page: slice = slice(None),
    opened: pd.DataFrame | None = None,
    published: Sequence[Figure] = (),
) -> View:
    """Return rows of a board with everything that the table shows of them.

    rows       of `rows.arrange`, all of the view: what varies is judged over all
    page       which of them; intervals are worked out for these alone
    opened     runs of one method, rows of `db.boards.board.by_run`, to stand below it
    published  figures below all rows; they have no rank and are never best
    """
    facts = columns.table(rows, how.norms, _without_intervals(how.names))
    constants = columns.constants(facts) if how.hide else {}
    shown = rows.iloc[page].assign(kind="method")
    if opened is not None and len(opened):
        shown = _insert(shown, opened)
    shown = _with_intervals(current, shown, how)
    table = columns.table(shown, how.norms, how.names)
    table["name"] = table["name"].mask(shown["kind"] == "run", OPENED + table["name"])
    over, said = columns.over_of(shown), tuple(notes(shown, how))
    remarks = tuple(comparability.remarks(_with_baseline(shown, how.baseline)))
    shown, table = _with_published(shown, table, published, "Training data" in how.names)
    titles = {columns.title(key, how.norms): said for key, said in constants.items()}
    left = table.drop(columns=[k for k in constants if k in table])
    named = None if how.baseline is None else str(how.baseline["name"])
    return View(shown, left, how.norms, titles, over, said, remarks, named)


def _with_baseline(rows: pd.DataFrame, baseline: pd.Series | None) -> pd.DataFrame:
    if baseline is None or baseline["id"] in set(rows["id"]):
        return rows
    return pd.concat([rows, baseline.to_frame().T]).infer_objects()


def notes(rows: pd.DataFrame, how: DisplayOptions) -> list[str]:
    """Return what must be said beside the intervals and milliseconds of rows: how they are made,
    what differences are to, and on which hardware."""
    said = _of_intervals(rows, how)
    if "Milliseconds" in how.names and (of_latencies := latencies.explanation(rows)):
        said.append(of_latencies)
    return said


def _of_intervals(rows: pd.DataFrame, how: DisplayOptions) -> list[str]:
    over = columns.over_of(rows)
    if not over:
        return []
    counts = {len(set(seeds)) for seeds in rows["seeds"]}
    said = [statistics.explanation(statistics.over_all(over.values()), counts)]
    if "difference" in over and how.baseline is not None:
        base = how.baseline
        said.append(
            f"Δ is the difference to {base['name']} ({columns.short_ids(base['runs'])});"
            f" {columns.MARK}: its interval excludes 0."
        )
    return said


def cells(view: View) -> list[list[Cell]]:
    """Return the cells of a view, a list a row, with the best of every score and the second."""
    emphasised: dict[tuple[object, str], Emphasis] = {}
    for key in filter(columns.better, view.table):
        best, second = best_of_view(view, key)
        emphasised |= {(label, key): "second" for label in second}
        emphasised |= {(label, key): "best" for label in best}
    labels = view.table.index.tolist()
    of_columns = [
        [
            Cell(text, number, emphasised.get((label, key), ""), hover)
            for label, text, hover in zip(
                labels, _texts(key, view), _hovers(key, view.rows), strict=True
            )
        ]
        for key in view.table
        for number in [columns.is_number(key)]
    ]
    return [list(row) for row in zip(*of_columns, strict=True)]


def _texts(key: str, view: View) -> list[str]:
    """Return the cells of a column as text."""
    texts = list(map(columns.formatter(key), view.table[key].tolist()))
    if key != "rank":
        return texts
    of_rows = zip(texts, view.rows["kind"], view.rows["family"], view.rows["ranked"], strict=True)
    return [
        FLOOR if (kind, family, ranked) == ("method", floor.FAMILY, True) else text
        for text, kind, family, ranked in of_rows
    ]


def source_of(figure: Figure) -> str:
    """Return where a published figure is from, how it was measured, and what the method was
    trained on."""
    return f"{figure.source}; {figure.protocol}; trained on {figure.trained_on}"


def _hovers(key: str, rows: pd.DataFrame) -> list[str]:
    """Return what a column says of each row beyond its cell."""
    if key not in _HOVERS:
        return [""] * len(rows)
    say, of = _HOVERS[key]
    return [
        "" if kind == "published" else say(*values)
        for kind, *values in rows[["kind", *of]].itertuples(index=False)
    ]


def _of_latency(p50: float, p90: float, on: object) -> str:
    if not isinstance(on, str):
        return "not measured by drf bench"
    if pd.isna(p50):
        return f"measured on {on} alone, see the run's page"
    return f"p90 {p90:.2f} ms, on {on}"


_HOVERS: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {
    "seeds": (lambda seeds: f"seeds {', '.join(map(str, sorted(set(seeds))))}", ("seeds",)),
    columns.LATENCY: (_of_latency, latencies.COLUMNS),
}
"""Column -> what it says of a row beyond its cell, and the columns of rows that this needs."""


def _figures(row: Mapping[Any, Any]) -> tuple[Figure, ...]:
    return row["figures"] if row["kind"] == "published" else ()


def best_of_view(view: View, key: str) -> tuple[pd.Index, pd.Index]:
    """Return the labels of the rows of a view that are best in a column, and of the next, among
    those that are ranked."""
    better = columns.better(key)
    assert better is not None
    return best_and_second(view.ranked[key], better)


def published_scores(figure: Figure) -> dict[str, float]:
    """Return the scores that were published, percent: column -> value."""
    found = {
        scores.column(figure.norm, key): getattr(figure, key, None) for key in scores.SCORE_KEYS
    }
    return {column: value for column, value in found.items() if value is not None}


def _without_intervals(names: Collection[str]) -> list[str]:
    return [name for name in names if name not in ("Interval", "Difference")]


def _with_intervals(current: StoreVersion, rows: pd.DataFrame, how: DisplayOptions) -> pd.DataFrame:
    baseline = how.baseline if "Difference" in how.names else None
    if "Interval" not in how.names and baseline is None:
        return rows
    found = intervals.with_intervals(current, rows, how.norms, baseline)
    sound = baseline is None or bool(baseline["ranked"])
    return found.assign(compared=rows["ranked"].astype(bool) & sound)


def _insert(rows: pd.DataFrame, opened: pd.DataFrame) -> pd.DataFrame:
    """Put the runs below their method, without a rank."""
    runs = opened.assign(kind="run", rank=pd.NA).astype({"rank": "Int64"})
    wanted = set(opened["evaluations"].sum())
    mine = rows.index[[wanted <= set(row) for row in rows["evaluations"]]]
    if not len(mine):
        return rows
    place = int(rows.index.get_loc(mine[0])) + 1
    return pd.concat([rows.iloc[:place], runs, rows.iloc[place:]], ignore_index=True)


def _with_published(
    rows: pd.DataFrame, table: pd.DataFrame, figures: Sequence[Figure], say_training: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    if not figures:
        return rows, table
    of_method: dict[str, list[Figure]] = {}
    for figure in figures:
        of_method.setdefault(figure.method, []).append(figure)
    none = [()] * len(of_method)
    more = pd.DataFrame({"kind": "published", "statuses": none, "runs": none})
    more["figures"] = [tuple(found) for found in of_method.values()]
    if say_training:
        table = table.assign(**{columns.PUBLISHED_TRAINING: "–"})
    cells = []
    for method, found in of_method.items():
        known = {key: value for figure in found for key, value in published_scores(figure).items()}
        said = {"name": method, columns.PUBLISHED_TRAINING: found[0].trained_on}
        cells.append({k: v for k, v in (said | known).items() if k in table})
    added = pd.DataFrame(cells).reindex(columns=table.columns)
    kinds = {key: kind for key, kind in table.dtypes.items() if kind.kind in "if"}
    kinds = dict.fromkeys(kinds, "float64") | {"rank": "Int64"}
    both = pd.concat([table.astype(kinds), added.astype(kinds)], ignore_index=True)
    return pd.concat([rows, more], ignore_index=True), both
