"""Links that an earlier version of the app made, with the keys and values of today."""

from __future__ import annotations

import streamlit as st

from db.recording import box_labels
from webapp import store
from webapp.links import url_keys
from webapp.links.address import Parameters
from webapp.store import StoreVersion


def of_today(current: StoreVersion, parameters: Parameters) -> dict[str, list[str]]:
    """Return the parameters of a link as this version and its store name them."""
    new = url_keys.up_to_date(parameters)
    if any(box_labels.FILE in value for values in new.values() for value in values):
        boards = store.boards(current).sort_values("entries", ascending=False)
        columns = boards[["dataset", "subset", "box"]]
        new = url_keys.with_boxes(new, columns.itertuples(index=False))
    return new


def bring_up_to_date(current: StoreVersion) -> None:
    """Put the keys and values of today into the address of the browser."""
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    if (new := of_today(current, asked)) != asked:
        st.query_params.from_dict(new)
