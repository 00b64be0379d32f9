"""The columns of the leaderboard: content, title, meaning and format, without Streamlit."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from db.analysis import comparability
from db.recording import latencies
from drf.scoring import scores, statistics
from drf.scoring.scores import Better, Normaliser, Score
from webapp.leaderboard.words import TAGS
from webapp.scores import RANK
from webapp.ui import badges
from webapp.ui.text import signed, signed_ends

MARK = "✱"
"""Marks a difference whose interval excludes 0."""
LATENCY = "latency_ms"
PUBLISHED_TRAINING = "published_training"
"""Key of the column that says what published methods were trained on; other tables lack it."""


@dataclass(frozen=True)
class Column:
    """A choice in the list of columns.

    name      in the URL
    key       in the table; of one per normaliser what follows NORM_
    per_norm  whether there is one for each normaliser
    sort      name of the order (`webapp.scores.sorts`) that its title sorts by, None for none
    """

    name: str
    key: str
    title: str
    meaning: str
    per_norm: bool = False
    kind: Literal["number", "text", "check"] = "text"
    format: str = "%.2f"
    better: Better | None = None
    sort: str | None = None


_OF_NME = (
    Column("SD", "nme_sd", "± sd", "Standard deviation of the NME over seeds.", True, "number"),
    Column("Interval", "interval", "95 % interval", f"Of the NME: {statistics.ESTIMATE}.", True),
    Column(
        "Difference",
        "difference",
        "Δ NME",
        "Difference to the baseline with its 95 % interval, faces and seeds paired where both rows "
        f"have them; negative is better. {MARK}: the interval excludes 0.",
        True,
    ),
)
_FACTS = (
    Column("Tags", TAGS, "Tags", "Star and tags that people gave the runs of the row."),
    Column("Family", "family", "Family", "Model family.", sort="Family"),
    Column("Parameters", "params_m", "Params, M", "Trainable parameters, millions.",
           kind="number", sort="Parameters"),
    Column("MACs", "macs_g", "GMACs", "10⁹ multiply-accumulates for one face.",
           kind="number", format="%.3f", sort="MACs"),
    Column("Milliseconds", LATENCY, " ".join(latencies.HEADING.split()),
           f"Milliseconds: {latencies.WHAT}. Of one kind of hardware, which a cell and the lines"
           " below the table name.", kind="number", sort="Milliseconds"),
    Column("Training time", "wall_min", "Train, min", "Wall time of the training, minutes.", False,
           "number", "%.1f", sort="Training time"),
    *(Column(one.title, one.key, one.title, f"{one.meaning} From – to where runs differ.")
      for one in comparability.SPENT),
    Column("Hardware", "hardware", "Hardware", "Machines that the runs were trained on."),
    Column("Seeds", "seeds", "Seeds", "Number of seeds that the row averages over.",
           kind="number", format="%d"),
    Column("Flip", "flip_test", "Flip", "Averaged with the mirror image.", kind="check"),
    Column("Faces", "n", "Faces", "Number of faces evaluated on.", kind="number", format="%d"),
    Column("Preset", "preset", "Preset", "Preset that the configuration is based on."),
    Column("Track", "track", "Track", "Training rules (competition track)."),
    Column("Precision", "precision", "Precision", "Numeric precision of the training."),
    Column("Status", "status", "Status", "Only what is finished is ranked; see About."),
    Column("Training data", PUBLISHED_TRAINING, "Trained on",
           "Of published results: labelled faces that the method was trained on, and what its "
           "weights were trained on before."),
    Column("Evaluated", "evaluated", "Evaluated", "Day of the newest evaluation.", sort="Newest"),
    Column("Id", "short_id", "Id",
           "First 8 characters of the ids of its runs, as `drf runs show` takes them."),
)  # fmt: skip
_NOT_DEFAULT = (  # the card of the method, beside the verdict, names the preset
    *("Median", "Steps", "Faces seen", "Hardware"),
    *("Faces", "Preset", "Precision", "Evaluated"),
)
PAPER = ("NME", "Interval", "Difference", "FR@8", "AUC@8", "Seeds")
"""Names of the columns that a paper shows: with one normaliser they fit the width of a page."""
_ALWAYS = ("rank", "name")
_NUMBERS_AS_TEXT = ("interval", "difference", *(one.key for one in comparability.SPENT))
_NEEDS = {"interval": "low", "difference": "difference"}


def available() -> tuple[Column, ...]:
    """Return the columns that can be chosen, in the order of the table: the scores of
    `drf.scoring.scores`, what is known of the NME beside it, and facts."""
    return _available(scores.SCORES)


def default() -> tuple[str, ...]:
    """Return the names of the columns that are shown where a link chooses none."""
    return tuple(column.name for column in available() if column.name not in _NOT_DEFAULT)


@functools.lru_cache(maxsize=4)
def _available(of: tuple[Score, ...]) -> tuple[Column, ...]:
    made = [
        Column(score.title, score.key, score.heading, _meaning(score), True, "number",
               better=score.better, sort=score.title)
        for score in of
    ]  # fmt: skip
    nme = [column for column in made if column.key == "nme"]
    others = [column for column in made if column.key != "nme"]
    return (*nme, *_OF_NME, *others, *_FACTS)


def _meaning(score: Score) -> str:
    return f"{score.meaning} In %; {score.better} is better."


def table(rows: pd.DataFrame, norms: Sequence[str], names: Collection[str]) -> pd.DataFrame:
    """Return rank, name and the columns of these names, in the order of `available`.

    rows: of `rows.arrange`, with intervals (`intervals.with_intervals`) where those are asked for;
    a column that rows know nothing of is left out. What is not ranked has its condition at its
    name: the column that says so stands far to the right.
    """
    of_norm = {"interval": _interval_texts, "difference": _difference_texts}
    derived: dict[str, Callable[[], Any]] = {
        "params_m": lambda: rows["params"] / 1e6,
        "macs_g": lambda: rows["macs"] / 1e9,
        "wall_min": lambda: rows["wall_s"] / 60,
        **{
            one.key: functools.partial(comparability.spans, rows, one.key)
            for one in comparability.SPENT
        },
        "hardware": lambda: [
            ", ".join(sorted({h for h in of if h})) or "–" for of in rows["hardwares"]
        ],
        "seeds": lambda: [len(set(seeds)) for seeds in rows["seeds"]],
        "status": lambda: [status_label(statuses) for statuses in rows["statuses"]],
        "evaluated": lambda: rows["created_at"].str[:10],
        "short_id": lambda: list(map(short_ids, rows["runs"])),
    }
    shown = {"rank": rows["rank"], "name": badges.marked_names(rows)}
    empty = {PUBLISHED_TRAINING} | ({TAGS} if TAGS not in rows or not rows[TAGS].any() else set())
    empty |= {LATENCY} if LATENCY not in rows or rows[LATENCY].isna().all() else set()
    for column, norm, key in _chosen(norms, names):
        if key in empty:
            continue
        if norm is not None and column.key in of_norm:
            if f"{norm}_{_NEEDS[column.key]}" in rows:
                shown[key] = of_norm[column.key](rows, norm)
        else:
            shown[key] = derived[key]() if key in derived else rows[key]
    return pd.DataFrame(shown, rows.index)  # at once: column by column takes longer


def constants(shown: pd.DataFrame) -> dict[str, str]:
    """Return the columns of a table that say the same in every row, and what; NMEs and intervals
    never count, and of a single row nothing does."""
    if len(shown) < 2:
        return {}
    candidates = [key for key in shown if key not in _ALWAYS and not key.endswith("_nme")]
    found = {}
    for key in candidates:  # by hand: to look for duplicates in a short column takes pandas longer
        first, *others = [None if _unknown(value) else value for value in shown[key].tolist()]
        if all(other == first for other in others):
            found[key] = text(key, first)
    return found


def title(key: str, norms: Sequence[str], over: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the title of a column of the table, with the normaliser where there are several, and
    with what intervals are over: see `over_of`."""
    if key in _ALWAYS:
        return {"rank": "#", "name": "Name"}[key]
    column, norm = lookup(key)
    said = f"{column.title} {_word(norm)}" if norm and len(norms) > 1 else column.title
    if column.key not in over:
        return said
    between = " over " if column.key == "interval" else ", 95 % over "
    return f"{said}{between}{over[column.key]}"


def over_of(rows: pd.DataFrame) -> dict[str, str]:
    """Return what the intervals of rows are over, by the key of the column that shows them; of rows
    that have none, nothing."""
    return {
        key: statistics.over_all(rows[column])
        for key, column in (("interval", "interval_over"), ("difference", "difference_over"))
        if column in rows
    }


def better(key: str) -> Better | None:
    """Return which end of a column of the table is good, None where neither is."""
    return None if key in _ALWAYS else lookup(key)[0].better


def is_number(key: str) -> bool:
    """Return whether a column of the table holds numbers, or texts made of them."""
    if key in _ALWAYS:
        return key == "rank"
    column, _ = lookup(key)
    return column.kind == "number" or column.key in _NUMBERS_AS_TEXT


def meaning(key: str) -> str:
    """Return what a column of the table means, in sentences."""
    if key in _ALWAYS:
        return RANK if key == "rank" else ""
    column, norm = lookup(key)
    return f"{column.meaning} Normaliser: {_word(norm)}." if norm else column.meaning


def sort_of(key: str, ranked_by: str) -> str | None:
    """Return the name of the order that the title of a column sorts by; of scores only those under
    the normaliser that ranks have one."""
    if key in _ALWAYS:
        return "Name" if key == "name" else None
    column, norm = lookup(key)
    return column.sort if norm in (None, ranked_by) else None


def short_ids(runs: Sequence[str]) -> str:
    """Return the ids of runs as people read and copy them."""
    return " ".join(run[:8] for run in runs)


def text(key: str, value: Any) -> str:
    """Return a cell of the table as text, for a paper."""
    return formatter(key)(value)


def formatter(key: str) -> Callable[[Any], str]:
    """Return what makes texts of the cells of a column of the table."""
    column = None if key in _ALWAYS else lookup(key)[0]

    def of_known(value: Any) -> str:
        if column is not None and column.kind == "check":
            return "yes" if value else "no"
        return column.format % value if column and column.kind == "number" else str(value)

    return lambda value: "–" if _unknown(value) else of_known(value)


def _unknown(value: Any) -> bool:
    return value is None or value is pd.NA or value != value


@functools.lru_cache(maxsize=1024)
def status_label(statuses: tuple[str, ...]) -> str:
    """Return the words of a cell: ✓ finished, or where runs differ 2 ✓ finished · 1 ✗ failed."""
    counts = Counter(statuses)
    if len(counts) == 1:
        return badges.label(statuses[0])
    return " · ".join(f"{n} {badges.label(status)}" for status, n in counts.items())


def lookup(key: str) -> tuple[Column, str | None]:
    """Return a column of the table by its key, and its normaliser if it has one.

    Raises KeyError for rank, name and unknown ones.
    """
    return _by_key(scores.SCORES, scores.NORMALISERS)[key]


@functools.lru_cache(maxsize=4)
def _by_key(
    of: tuple[Score, ...], normalisers: tuple[Normaliser, ...]
) -> dict[str, tuple[Column, str | None]]:
    facts = {column.key: (column, None) for column in _available(of) if not column.per_norm}
    return facts | {
        f"{one.key}_{column.key}": (column, one.key)
        for one in normalisers
        for column in _available(of)
        if column.per_norm
    }


def _word(norm: str) -> str:
    """Return a normaliser's title as it stands within a sentence: pupil."""
    return scores.normaliser(norm).title.lower()


def _chosen(norms: Sequence[str], names: Collection[str]) -> list[tuple[Column, str | None, str]]:
    """Return (column, normaliser, key in the table): all scores of one normaliser, then those of
    the next."""
    chosen: list[tuple[Column, str | None, str]] = [
        (column, norm, f"{norm}_{column.key}")
        for norm in norms
        for column in available()
        if column.per_norm and column.name in names
    ]
    facts = [c for c in available() if not c.per_norm and c.name in names]
    return [*chosen, *((column, None, column.key) for column in facts)]


def _interval_texts(rows: pd.DataFrame, norm: str) -> list[str | None]:
    ends = zip(rows[f"{norm}_low"], rows[f"{norm}_high"], strict=True)
    texts = [None if pd.isna(low) else f"{low:.2f} – {high:.2f}" for low, high in ends]
    return _with_exceptions(texts, rows["interval_over"])


def _with_exceptions(texts: list[str | None], over: pd.Series) -> list[str | None]:
    header = statistics.over_all(over)
    return [
        text and statistics.with_exception(text, said, header)
        for text, said in zip(texts, over, strict=True)
    ]


def _difference_texts(rows: pd.DataFrame, norm: str) -> list[str | None]:
    columns = (f"{norm}_difference", f"{norm}_difference_low", f"{norm}_difference_high")
    texts: list[str | None] = []
    compared = rows["compared"] if "compared" in rows else rows["ranked"]
    for (value, low, high), counts in zip(
        rows[[*columns]].itertuples(index=False), compared, strict=True
    ):
        mark = f" {MARK}" if counts and not low <= 0 <= high else ""
        span = f"{signed(value)} {signed_ends(low, high)}{mark}"
        texts.append(None if pd.isna(value) else span)
    return _with_exceptions(texts, rows["difference_over"])
