"""Export of the leaderboard as CSV and JSON: its rows and columns, with the runs of every row."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import asdict
from typing import Any

import pandas as pd

from db.analysis import comparability
from db.boards import entries
from db.recording import latencies
from drf.literature import papers
from drf.scoring import scores
from webapp.leaderboard import columns
from webapp.leaderboard.table import View, published_scores
from webapp.leaderboard.words import TAGS
from webapp.ui.text import no_formula

_FACTS: dict[str, tuple[str, ...]] = {  # column of the table -> fields of the file
    "family": ("family",),
    "params_m": ("params",),
    "macs_g": ("macs",),
    columns.LATENCY: latencies.COLUMNS,
    "wall_min": ("wall_s",),
    "flip_test": ("flip_test",),
    "n": ("n",),
    "preset": ("preset",),
    "track": ("track",),
    TAGS: (TAGS,),
    "precision": ("precision",),
}
_TRACE = (
    *("dataset", "subset", "landmarks", "markup", "box", "flip_test", "n"),
    *("manifest_digest", "created_at", "trained_on", "started_from"),
)
_BUDGET = tuple(
    f"{key}{end}"
    for key in (*(one.key for one in comparability.SPENT), "wall_s")
    for end in (comparability.LOW, comparability.HIGH)
)
_OVER = ("interval_over", "difference_over")
_LISTS = ("seeds", "statuses", "runs", "evaluations", "checkpoints", "hardwares")


def records(view: View) -> list[dict[str, Any]]:
    """Return a dict a row: rank, name, condition (only `finished` is ranked), the scores shown
    (fields end in _percent) with their intervals and what these are over, the facts shown, and in
    any case what ranks the rows, what differences are to, and what the row comes from: the number
    of seeds, lists of run ids, evaluations, checkpoints, seeds, statuses and machines, the board
    and the digest of its faces, and what its runs spent, from COLUMN_low to COLUMN_high.

    Published figures have kind "published", their scores, paper, source, protocol, and what they
    were trained on.
    """
    return [
        _published(row) if row["kind"] == "published" else _row(row, view)
        for row in entries.records(view.rows)
    ]


def as_json(view: View, facts: dict[str, Any], verdict: dict[str, Any]) -> bytes:
    """Return one document: `view` (facts: the choices of the page), `verdict`
    (`db.boards.verdict`), `remarks` (what differs between the rows beside the method), `rows` (see
    `records`)."""
    document = {
        "view": facts,
        "verdict": verdict,
        "remarks": list(view.remarks),
        "rows": records(view),
    }
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def as_csv(view: View) -> bytes:
    """Return a line a row of `records`; lists are joined by spaces."""
    flat = [
        {key: no_formula(_joined(value)) for key, value in record.items()}
        for record in records(view)
    ]
    return pd.DataFrame(flat).to_csv(index=False, lineterminator="\n").encode()


def _row(row: dict[Hashable, Any], view: View) -> dict[str, Any]:
    record: dict[str, Any] = {key: row[key] for key in ("kind", "rank", "name", "condition")}
    record["ranked_by"] = scores.column(view.norms[0], "nme")
    for key in view.table:
        column, norm = columns.lookup(key) if key not in record else (None, None)
        if column is not None and norm is not None:
            record |= {f"{norm}_{field}_percent": row[source]
                       for field, source in _score_fields(norm, column.key)}  # fmt: skip
        record |= {field: row[field] for field in _FACTS.get(key, ())}
    record |= {key: row[key] for key in _OVER if row.get(key) is not None}
    if "difference_over" in record:
        record["difference_to"] = view.baseline
    record["n_seeds"] = len(set(row["seeds"]))
    record |= {key: row[key] for key in (*_TRACE, *_BUDGET)}
    return record | {key: list(row[key]) for key in _LISTS}


def _score_fields(norm: str, score: str) -> list[tuple[str, str]]:
    """Return (field, column of the rows) of a column of scores."""
    ends: dict[str, tuple[str, ...]] = {
        "interval": ("low", "high"),
        "difference": ("difference", "difference_low", "difference_high"),
    }
    fields = ends.get(score, (score,))
    names = {"low": "nme_low", "high": "nme_high"}
    return [(names.get(field, field), f"{norm}_{field}") for field in fields]


_OF_PUBLISHED = (
    *("dataset", "subset", "paper", "source", "protocol"),
    *("training_faces", "pretrained"),
)


def _published(row: dict[Hashable, Any]) -> dict[str, Any]:
    figures = row["figures"]
    record: dict[str, Any] = {"kind": "published", "name": figures[0].method}
    for figure in figures:
        record |= {f"{column}_percent": v for column, v in published_scores(figure).items()}
    about = asdict(figures[0])
    return (
        record
        | {key: about[key] for key in _OF_PUBLISHED}
        | {"url": papers()[figures[0].paper].url}
    )


def _joined(value: Any) -> Any:
    return (
        " ".join("" if v is None else str(v) for v in value) if isinstance(value, list) else value
    )
