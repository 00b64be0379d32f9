"""How a run was made: command, configuration and its sources, provenance, training data."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pandas as pd
import streamlit as st

from webapp import url_keys

_DIFF = "git_diff"
_ELSEWHERE = ("command", _DIFF)  # keys of the provenance that have a place of their own


def command(run: dict[str, Any]) -> None:
    """Show the command that makes this run again."""
    made = run["provenance"].get("command")
    if made:
        line = made if isinstance(made, str) else shlex.join(str(word) for word in made)
        st.subheader("Command to reproduce")
        st.code(line, language="bash", wrap_lines=True)


def configuration(run: dict[str, Any]) -> None:
    """Show the configuration, by choice only what is not a default."""
    st.subheader("Configuration")
    frame = pd.DataFrame(run["config"], columns=["key", "value", "source"])
    frame["value"] = frame["value"].map(_as_written)
    changed = frame[frame["source"] != "default"]
    only_changed = st.toggle(
        "Only what differs from the defaults",
        value=bool(url_keys.RUN_CHANGED.default),
        key=url_keys.RUN_CHANGED.name,
        bind="query-params",
    )
    st.caption(f"{len(changed)} of {len(frame)} keys differ from their default.")
    shown = changed if only_changed else frame
    if not shown.empty:
        _table(shown, "Configuration of the run, with the source of every value")


def provenance(run: dict[str, Any]) -> None:
    """Show code, versions and hardware, and what was changed in the code since the commit."""
    st.subheader("Provenance")
    made = run["provenance"]
    listed = {key: value for key, value in made.items() if key not in _ELSEWHERE}
    rows = [pair for key, value in listed.items() for pair in _flat(key, value)]
    rows.append(("run", run["id"]))
    _table(pd.DataFrame(rows, columns=["key", "value"]), "Code, versions and hardware of the run")
    if made.get(_DIFF):
        with st.expander("Uncommitted changes to the code", icon=":material/difference:"):
            st.code(made[_DIFF], language="diff")
    if run["manifest"]:
        st.subheader("Training data")
        rows = [pair for key, value in run["manifest"].items() for pair in _flat(key, value)]
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


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for inner, held in value.items():
            yield from _flat(f"{key}.{inner}", held)
    else:
        yield key, _as_written(value)


def _as_written(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
