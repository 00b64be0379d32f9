"""About: what the numbers mean, the terms of the data, the version, and every URL parameter."""

import streamlit as st

import drf
from webapp import badges, url_keys
from webapp.store import Store

METRICS = r"""
$G$ is the ground truth and $P$ the prediction, 68 points each, in picture pixels.

- **Image error** $e_i = \frac{1}{68} \sum_j \lVert P_{ij} - G_{ij} \rVert \,/\, d_i$
- **NME** $= \frac{1}{n} \sum_i e_i$, a mean of ratios. Lower is better.
- **FR@t** $= \frac{1}{n} \#\{e_i > t\}$, the failure rate. Lower is better.
- **CED**$(x) = \frac{1}{n} \#\{e_i \le x\}$, the cumulative error distribution.
- **AUC@t** $= \frac{1}{t}\int_0^t \mathrm{CED} = \frac{1}{n} \sum_i \max(0, t - e_i) \,/\, t$,
  exactly, without a sampling grid. Higher is better.

The normaliser $d_i$ always comes from the ground truth:

- **ocular**: the distance of the outer eye corners (points 36 and 45);
- **pupil**: the distance of the eye centres, each the mean of the eye's six points. It is shorter,
  so every error is larger under it; never compare across the two.
"""

PROTOCOLS = """
- **gt**: a square on the longer side of the landmark box, 1.25 times as large; no stretching.
- **gt_jitter**: the same, its centre off by 5 % of the side and its side by 10 % (normal, seeded).
- **file**: boxes of a detector, read from a file.

Scores under different boxes do not compare: jitter alone costs the mean shape
a third.
"""

TERMS = """
**300-W** (LFPW, Helen, AFW, iBUG) is for research only; commercial use is not allowed. A store made
from it holds crops of its pictures, so the terms travel with the file and with screenshots of it.
The **synthetic** faces are made by this project, depict nobody, and are as free as its code (MIT).
"""


def page(current: Store) -> None:
    st.title("About")
    text, side = st.columns([3, 2], gap="large")
    with text:
        st.header("Metrics")
        st.markdown(METRICS)
        st.header("Boxes")
        st.markdown(PROTOCOLS)
        st.header("Terms of the data")
        st.markdown(TERMS)
    with side:
        st.header("Status of a run")
        for status, look in badges.LOOKS.items():
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(status, icon=look.icon, color=look.colour)
                st.caption(look.meaning)
        st.header("Links")
        st.table({f"`{key.name}`": key.meaning for key in url_keys.KEYS}, border="horizontal")
        st.caption(f"drf {drf.__version__}, store at revision {current.revision}")


page(st.session_state["store"])
