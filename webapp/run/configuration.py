"""Configuration tab: command, configuration with its sources, provenance, training data."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from db import next_step
from drf.files import PATH
from webapp.links import url_keys, widgets
from webapp.run import facts
from webapp.ui.text import as_written


def command(run: dict[str, Any]) -> None:
    """Show the commands that repeat this run."""
    lines = next_step.repeat(run)
    if lines:
        st.subheader("Commands to repeat it")
        if PATH in lines:
            st.caption(f"{PATH} stands for a folder on your machine.")
        st.code(lines, language="bash", wrap_lines=True)
        if run["provenance"].get(facts.DIFF):
            st.caption("The code had uncommitted changes, shown under Provenance.")


def configuration(run: dict[str, Any]) -> None:
    """Show the configuration, optionally only the values that differ from the defaults."""
    st.subheader("Configuration")
    frame = pd.DataFrame(run["config"], columns=["key", "value", "source"])
    frame["value"] = frame["value"].map(as_written)
    changed = frame[frame["source"] != "default"]
    only_changed = widgets.toggle(
        url_keys.RUN_CHANGED, "Show only values that differ from the defaults"
    )
    st.caption(f"{len(changed)} of {len(frame)} keys differ from their default.")
    shown = changed if only_changed else frame
    if not shown.empty:
        _table(shown, "Configuration of the run, with the source of every value")


def provenance(run: dict[str, Any]) -> None:
    """Show code, versions and hardware, and the uncommitted changes to the code."""
    st.subheader("Provenance")
    rows = facts.provenance(run)
    _table(pd.DataFrame(rows, columns=["key", "value"]), "Code, versions and hardware of the run")
    if diff := run["provenance"].get(facts.DIFF):
        with st.expander("Uncommitted changes to the code", icon=":material/difference:"):
            st.code(diff, language="diff")
    if run["manifest"]:
        st.subheader("Training data")
        rows = facts.training_data(run)
        _table(pd.DataFrame(rows, columns=["key", "value"]), "Faces the run was trained on")


def _table(frame: pd.DataFrame, alt: str) -> None:
    """Show strings as they are: the cells of a dataframe know no markup."""
    text = st.column_config.TextColumn
    st.dataframe(
        frame,
        hide_index=True,
        height="content",
        column_config={
            "key": text("Key", width="medium"),
            "value": text("Value", width="large"),
            "source": text("Source", width="medium"),
        },
        alt=alt,
    )
