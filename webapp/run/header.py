"""Head of the run page: choice of the run and its evaluation, status, scores, facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from db import next_step, reads, status
from db.analysis.flags import flags, floor_of
from db.next_step import NextStep
from drf.errors import NotFoundError
from drf.scoring import scores
from drf.scoring.scores import Score
from drf.scoring.statistics import Interval
from webapp import store
from webapp.links import address, carried, navigation, url_keys, widgets
from webapp.links.names import matching
from webapp.run import method_card, standing, words
from webapp.run.facts import preset, summary
from webapp.run.standing import Standing
from webapp.scores import evaluation_label, usual_order
from webapp.store import StoreVersion
from webapp.ui import badges, frame
from webapp.ui.text import format_time, percent, plain, signed, signed_ends

_CHOICE = "run_choice"


def choose(current: StoreVersion, runs: pd.DataFrame) -> str | None:
    """Return the full id of the run that the link names, None if unknown; without one the best run
    of the evaluation that the link names, or the newest.

    The chooser writes `?run=` itself, because a bound widget would spell its label out there and
    not the eight characters that make a short link.
    """
    wanted = address.get(url_keys.RUN_ID.name)
    found: str | None = _leader(current) or str(runs["id"].iloc[0])
    if wanted is not None:
        names = dict(zip(runs["id"], runs["name"], strict=True))
        matches = matching(wanted, names) or _of_method(current, wanted)
        found = str(matches[0]) if len(matches) == 1 else None
        if found is None:
            how_many = f"{len(matches)} runs match" if matches else "No run matches"
            asked = widgets.quoted(wanted)
            widgets.notify(f"{how_many} “{asked}”; choose one.")
    names = dict(zip(runs["id"], runs["name"], strict=True))
    st.session_state[_CHOICE] = found
    st.session_state[url_keys.RUN_ID.name] = (found or "")[:8]  # a full link names the default too
    st.selectbox(
        "Run",
        list(names),
        index=None if found is None else 0,
        format_func=lambda run_id: f"{names[run_id]} · {run_id[:8]}",
        key=_CHOICE,
        on_change=_chosen,
        filter_mode="contains",
        placeholder="Choose a run",
    )
    return found


def _leader(current: StoreVersion) -> str | None:
    """Return the best run of the evaluation that the link names."""
    board = carried.row(address.get(url_keys.RUN_EVALUATION.name), store.boards(current))
    if board is None:
        return None
    entries = store.leaderboard(current, **{column: board[column] for column in reads.BOARD})
    sound = entries[status.ranked(entries)]
    return None if sound.empty else str(sound.loc[sound[reads.ranked_by(sound)].idxmin(), "run"])


def _of_method(current: StoreVersion, wanted: str) -> list[str]:
    """Return the run of the method that a link names instead of a run, if it has just one."""
    try:
        return [store.find_run(current, wanted)]
    except NotFoundError:
        return []


def _chosen() -> None:
    if run_id := st.session_state[_CHOICE]:
        widgets.set_parameter(url_keys.RUN_ID, run_id)


def title(current: StoreVersion, run: dict[str, Any]) -> DeltaGenerator:
    """Show name, status and its reason; return the place of the link, which can only be made when
    the controls below have their values."""
    look = badges.STATUS_STYLES[run["condition"]]
    navigation.link(
        url_keys.LEADERBOARD,
        "views/leaderboard.py",
        "Back to the leaderboard",
        icon=":material/arrow_back:",
    )
    st.title(plain(run["name"]))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(run["condition"], icon=look.icon, color=look.colour, help=look.meaning)
        started = format_time(run["started_at"])
        st.caption(f"`{run['id'][:8]}` · {plain(run['family'])} · started {plain(started)}")
        said = words.of_run(current, run["id"])
        words.badges(said)
        method_card.buttons([run["preset"]], "run")
        st.space("stretch")
        link = st.container(width="content")
    words.note(said)
    method_card.show_wanted(pd.DataFrame([run]))
    if run["status"] in ("running", "stale", "crashed"):
        done = f"{100 * run['progress']:.0f} % done, epoch {run['epoch']}"
        heard = f"last heartbeat {format_time(run['heartbeat_at'])}"
        st.progress(float(run["progress"]), text=plain(f"{done}; {heard}. {look.meaning}"))
    elif why := run["unranked_because"]:
        _reason(run["condition"], why)
    if step := next_step.after(run, Path(current.path)):
        show_step(step)
    show_flags(current, run)
    return link


def show_flags(current: StoreVersion, run: Mapping[str, Any]) -> None:
    """Show what the curves say of the health of a run, with the epoch in which it happened."""
    runs = store.runs(current)
    row = runs[runs["id"] == run["id"]].iloc[0]
    curves = store.curves(current, run["id"])
    for flag in flags(curves, floor_of(row, runs), ended=run["status"] != "running"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(f"{flag.name}, epoch {flag.epoch}", icon=":material/flag:", color="orange")
            st.caption(plain(flag.sentence))


def show_step(step: NextStep) -> None:
    """Show what to do next, with its command to copy."""
    st.markdown(plain(step.sentence))
    if step.command:
        st.code(step.command, language="bash", wrap_lines=True)


def _reason(condition: str, reason: str) -> None:
    """Show why a run ended, or is not ranked; as an error where its condition is a failure."""
    look = badges.STATUS_STYLES[condition]
    sentence = plain(reason[:1].upper() + reason[1:].rstrip(".") + ".")
    if look.colour == "red":
        st.error(sentence, icon=look.icon)
    else:
        st.caption(sentence)


def method(run: dict[str, Any]) -> None:
    """Say in one line what the method is, where its preset says so."""
    if (known := preset(run["preset"])) is not None:
        st.markdown(plain(known.summary))


def score_cards(current: StoreVersion, evaluation: pd.Series, norm: str) -> None:
    """Show the scores of one evaluation under one normaliser, with their difference to the best run
    of another method, and in words the interval and the rank; – for a score that it has not."""
    found = standing.of_evaluation(current, evaluation, norm)
    gaps = found.differences or {}
    with st.grid(len(scores.SCORES), min_column_width=150, gap="small"):
        for score in scores.SCORES:
            value = evaluation[scores.column(norm, score.key)]
            gap = gaps.get(score.key)
            st.metric(
                score.heading,
                "–" if pd.isna(value) else percent(value),
                None if gap is None else _difference(gap),
                delta_color=_colour(score, gap) if gap and found.rank is not None else "off",
                delta_arrow="off",
                border=True,
                help=score.meaning,
                height="stretch",
            )
    st.caption(plain(_standing(found, int(evaluation["n"]))))


def _standing(found: Standing, faces: int) -> str:
    """Return in words where a run stands."""
    said = []
    if found.rank is not None:
        said.append(f"Rank {found.rank} of {found.ranked} ranked runs of this board, by NME")
    if nme := found.intervals.get("nme"):
        ends = f"{100 * nme.low:.2f} – {100 * nme.high:.2f} %"
        said.append(f"95 % interval of the NME over {faces} faces, 1 seed: {ends}")
    if found.other is not None and found.differences is not None:
        said.append(
            f"Below each score stands its difference to {found.other}, the best run of another"
            " method, with the 95 % interval over faces (paired bootstrap, one seed each)"
        )
    return " ".join(f"{one}." for one in said)


def _difference(gap: Interval) -> str:
    return f"{signed(100 * gap.estimate)} {signed_ends(100 * gap.low, 100 * gap.high)}"


def _colour(score: Score, gap: Interval) -> Literal["green", "red", "off"]:
    """Return the colour of a difference: none unless its interval excludes 0."""
    if not gap.excludes(0):
        return "off"
    return "green" if (gap.estimate < 0) == (score.better == "lower") else "red"


def facts(current: StoreVersion, run: dict[str, Any]) -> None:
    """Show the facts of the run and its cost, folded: what one opens the page for is below."""
    measured = store.latencies_of(current, run["id"])
    with st.expander("Model, training and cost", icon=":material/speed:"):
        frame.definitions(summary(run, measured))


def choose_evaluation(current: StoreVersion, run_id: str) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return all evaluations of the run and the one that the page shows; None if there is none.

    The link names an evaluation by what it is (dataset/subset/box), not by its number, so that the
    same link shows the newest one and another run's page the same board.
    """
    evaluations = store.evaluations(current, run_id)
    if evaluations.empty:
        return evaluations, None
    labels = [*map(evaluation_label, evaluations[[*reads.BOARD, "flip_test"]].to_dict("records"))]
    options = sorted(set(labels), key=lambda label: [*map(usual_order, label.split("/"))])
    wanted = widgets.select(url_keys.RUN_EVALUATION, "Evaluation", options)
    return evaluations, evaluations.iloc[labels.index(wanted)]
