"""Table of the faces of a board: errors of one or two runs, filtered and sorted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from db.analysis.paired import Paired
from drf.scoring import scores
from webapp import store
from webapp.ui.text import percent, signed

ERROR, DISAGREEMENT, IMPROVEMENT = "Error", "Disagreement", "Improvement"
DOUBT = "Doubtful label"
SORTS = {
    ERROR: "error",
    DISAGREEMENT: "disagreement",
    IMPROVEMENT: "improvement",
    DOUBT: "doubt",
}
"""Name in the URL -> column."""
ORDERS = ("Largest first", "Smallest first")

NO_LIMIT = "no limit"
LIMITS = (*(f"{k / 2:g}" for k in range(21)), "12", "15", "20", "30", "50", NO_LIMIT)
"""Ends of the range of errors, percent: fine where models of today are."""


def rows(
    paired: Paired,
    errors: np.ndarray,
    *,
    a: int,
    b: int | None = None,
    agreement: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return one row per face: face (id), name, part, error, other, improvement, disagreement,
    consensus, doubt.

    errors        (e, n) fractions, of paired, under one norm
    a, b          rows of it: error is that of a, other that of b, improvement what a gains over b,
                  other - error (positive: a is better); NaN without b
    agreement     see `agreement`, by face id; disagreement, consensus and doubt are NaN without it
    part          the folder of the name, e.g. helen/testset
    """
    frame = pd.DataFrame({"face": paired.faces, "name": paired.names, "error": errors[a]})
    frame["part"] = frame["name"].str.rpartition("/")[0]
    frame["other"] = np.nan if b is None else errors[b]
    frame["improvement"] = frame["other"] - frame["error"]
    for column in AGREEMENT:
        known = pd.Series(dtype=float) if agreement is None else agreement[column]
        frame[column] = frame["face"].map(known).astype(float)
    return frame


def arrange(
    frame: pd.DataFrame, *, sort: str, order: str, limits: Sequence[str], part: str | None = None
) -> pd.DataFrame:
    """Return the rows whose error lies between two of LIMITS (ends included), sorted.

    Equal values are ordered by name. part: rows of this part alone.
    """
    low, high = (np.inf if text == NO_LIMIT else float(text) / 100 for text in limits)
    kept = frame[frame["error"].between(low, high)]
    if part is not None:
        kept = kept[kept["part"] == part]
    return kept.sort_values(
        [SORTS[sort], "name"], ascending=[order != ORDERS[0], True], ignore_index=True
    )


def caption(row: pd.Series, sort: str) -> str:
    """Return the value that the faces are sorted by, for one of them, as plain text."""
    error = percent(100 * row["error"])
    if sort == DISAGREEMENT:
        return f"disagreement {percent(100 * row['disagreement'])}"
    if sort == IMPROVEMENT:
        return f"{error} ({signed(-100 * row['improvement'])})"
    if sort == DOUBT:
        apart = percent(100 * row["disagreement"])
        return f"label {percent(100 * row['consensus'])} off, runs {apart} apart"
    return error


AGREEMENT = ("disagreement", "consensus", "doubt")


@st.cache_data(max_entries=32, show_spinner=False)
def agreement(
    path: str, evaluations: tuple[tuple[str, int], ...], markup: str, landmarks: str, norm: str
) -> pd.DataFrame:
    """Return how far evaluations agree on the faces that they share, by face id: AGREEMENT, that
    is `scores.disagreement`, `scores.consensus_errors`, and the latter minus the former.

    evaluations: (run, evaluation) of each, see `store.paired_errors`. markup: its
    name in the store; landmarks: subset of it.
    """
    found = [store.predictions(path, number) for _, number in evaluations]
    shared = found[0][0]
    for ids, _, _ in found[1:]:
        shared = np.intersect1d(shared, ids)
    predicted = np.stack([guess[np.searchsorted(ids, shared)] for ids, _, guess in found])
    truth = found[0][1][np.searchsorted(found[0][0], shared)]
    faces = predicted, truth, norm, store.markup(path, markup), landmarks
    apart, consensus = scores.disagreement(*faces), scores.consensus_errors(*faces)
    values = dict(zip(AGREEMENT, (apart, consensus, consensus - apart), strict=True))
    return pd.DataFrame(values, index=shared)
