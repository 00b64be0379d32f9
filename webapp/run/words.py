"""What people say of runs: star, tags and note, as pages of runs show it. The app writes none."""

from __future__ import annotations

import streamlit as st

from db.recording.words import NOTHING, STAR, Words
from webapp import store
from webapp.store import StoreVersion
from webapp.ui.text import format_time, plain


def of_run(current: StoreVersion, run: str) -> Words:
    """Return what is said of a run (full id)."""
    return store.words(current).get(run, NOTHING)


def badges(said: Words) -> None:
    """Show star and tags as badges, in a row of others."""
    if said.starred:
        st.badge("starred", icon=":material/star:", color="yellow")
    for tag in said.tags:
        st.badge(plain(tag), icon=":material/label:", color="gray")


def note(said: Words) -> None:
    """Show the note of a run, line by line, and who wrote it when; nothing where it has none."""
    if said.note is None:
        return
    lines = "  \n".join(plain(line) for line in said.note.text.split("\n"))
    by = f"{plain(said.note.author)}, " if said.note.author else ""
    st.markdown(f"{lines}  \n:small[— {by}{plain(format_time(said.note.created_at))}]")


def listed(current: StoreVersion, labels: dict[str, str]) -> None:
    """List what is said of several runs, for a page that compares them. labels: by full id."""
    for run, label in labels.items():
        said = of_run(current, run)
        if said == NOTHING:
            continue
        with st.container(border=True, gap="xsmall"):
            tags = ", ".join(map(plain, said.tags))
            head = " · ".join(part for part in (STAR * said.starred, tags) if part)
            st.markdown(f"**{plain(label)}** {head}")
            note(said)
