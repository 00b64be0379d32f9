"""The card of a method: what its preset is, what it costs, its paper and its known weakness.

Opened by a button beside a run or a board, or by a link with `card=PRESET`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from drf.presets import Preset
from webapp.links import address, url_keys, widgets
from webapp.run import facts
from webapp.ui import error_pages
from webapp.ui.text import plain


def buttons(names: Iterable[object], key: str) -> None:
    """Show a button for the card of each preset; nothing for names that are none. key: of the
    place, unique on the page."""
    known = [preset for name in dict.fromkeys(names) if (preset := facts.preset(name))]
    single = len(known) == 1
    for preset in known:
        label = "About this method" if single else f"About {plain(preset.name)}"
        st.button(
            label,
            icon=":material/info:",
            type="tertiary",
            key=f"{key}_card_{preset.name}",
            help=plain(preset.summary),
            on_click=_open,
            args=(preset.name,),
        )


def show_wanted(runs: pd.DataFrame | None = None) -> None:
    """Open the card that the link names; notify where this version has no such preset.

    runs: with the columns preset, params, macs, from which the card takes what the method costs
    """
    wanted = address.get(url_keys.CARD.name)
    if wanted is None:
        return
    preset = facts.preset(wanted)
    if preset is None:
        widgets.refuse(
            url_keys.CARD,
            f"The link asks for the method “{widgets.quoted(wanted)}”, which has no card here.",
        )
        return
    params = macs = None
    if runs is not None and len(mine := runs[runs["preset"] == preset.name]):
        params, macs = mine[["params", "macs"]].iloc[0]
    _dialog(preset, params, macs)


def _open(name: str) -> None:
    address.write(url_keys.CARD.name, [name])


def _close() -> None:
    address.write(url_keys.CARD.name, [])


@st.dialog("Method", width="large", on_dismiss=_close)
def _dialog(preset: Preset, params: float | None, macs: float | None) -> None:
    with address.one_entry(), error_pages.boundary():
        st.markdown(f"**{plain(preset.name)}**  \n{plain(preset.summary)}")
        for fact in facts.card(preset, params, macs):
            text = plain(fact.text)
            st.markdown(f"**{fact.title}**  \n{f'[{text}]({fact.url})' if fact.url else text}")
