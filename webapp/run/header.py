"""Head of the run page: choice of the run and its evaluation, status, scores, facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from db import next_step
from db.next_step import NextStep
from drf import scores
from drf.errors import NotFoundError
from webapp import store
from webapp.links import share, url_keys, widgets
from webapp.run import method_card, words
from webapp.run.facts import summary
from webapp.run.remarks import remarks
from webapp.scores import evaluation_label, usual_order
from webapp.store import StoreVersion
from webapp.ui import badges
from webapp.ui.text import format_time, percent, plain

_CHOICE = "run_choice"


def choose(current: StoreVersion, runs: pd.DataFrame) -> str | None:
    """Return the full id of the run that the link names, the newest without one, None if unknown.

    The chooser writes `?run=` itself, because a bound widget would spell its label out there and
    not the eight characters that make a short link.
    """
    wanted = st.query_params.get(url_keys.RUN_ID.name)
    found: str | None = str(runs["id"].iloc[0])
    if wanted is not None:
        matching = runs.loc[(runs["id"].str.startswith(wanted.lower()) & (wanted != "")), "id"]
        named = runs.loc[runs["name"] == wanted, "id"]
        matches = [*dict.fromkeys([*matching, *named])] or _of_method(current, wanted)
        found = str(matches[0]) if len(matches) == 1 else None
        if found is None:
            how_many = f"{len(matches)} runs match" if matches else "No run matches"
            asked = widgets.quoted(wanted)
            st.warning(f"{how_many} “{asked}”; choose one.", icon=":material/link_off:")
    names = dict(zip(runs["id"], runs["name"], strict=True))
    st.session_state[_CHOICE] = found
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


def _of_method(current: StoreVersion, wanted: str) -> list[str]:
    """Return the run of the method that a link names instead of a run, if it has just one."""
    try:
        return [store.find_run(current, wanted)]
    except NotFoundError:
        return []


def _chosen() -> None:
    if run_id := st.session_state[_CHOICE]:
        st.query_params[url_keys.RUN_ID.name] = run_id[:8]


def title(current: StoreVersion, run: dict[str, Any]) -> None:
    """Show name, status and its reason, and the link."""
    look = badges.STATUS_STYLES[run["condition"]]
    st.title(plain(run["name"]))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(run["condition"], icon=look.icon, color=look.colour, help=look.meaning)
        started = format_time(run["started_at"])
        st.caption(f"`{run['id'][:8]}` · {plain(run['family'])} · started {plain(started)}")
        said = words.of_run(current, run["id"])
        words.badges(said)
        method_card.buttons([run["preset"]], "run")
        st.space("stretch")
        share.link(url_keys.RUN, current)
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
    for remark in remarks(store.curves(current, run["id"])):
        st.caption(f":material/info: {plain(remark)}")


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


def score_cards(evaluation: pd.Series, norm: str) -> None:
    """Show the scores of one evaluation under one normaliser; – for one that it has not."""
    with st.grid(len(scores.SCORES), min_column_width=130, gap="small"):
        for score in scores.SCORES:
            value = evaluation[scores.column(norm, score.key)]
            said = "–" if pd.isna(value) else percent(value)
            st.metric(score.heading, said, border=True, help=score.meaning)


def facts(run: dict[str, Any]) -> None:
    """Show the facts of the run and its cost."""
    with st.grid(7, min_column_width=120, gap="small"):
        for name, value in summary(run).items():
            text = "–" if value is None else plain(value)
            st.markdown(f":small[:gray[{name}]]  \n{text}")


def choose_evaluation(current: StoreVersion, run_id: str) -> tuple[pd.DataFrame, pd.Series | None]:
    """Return all evaluations of the run and the one that the page shows; None if there is none.

    The link names an evaluation by what it is (dataset/subset/box), not by its number, so that the
    same link shows the newest one and another run's page the same board.
    """
    evaluations = store.evaluations(current, run_id)
    if evaluations.empty:
        return evaluations, None
    labels = evaluations.apply(evaluation_label, axis=1)
    options = sorted(set(labels), key=lambda label: [*map(usual_order, label.split("/"))])
    wanted = widgets.select(url_keys.RUN_EVALUATION, "Evaluation", options)
    return evaluations, evaluations[labels == wanted].iloc[0]
