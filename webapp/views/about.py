"""About: definitions of the scores, terms of the data, version, and all URL parameters."""

import streamlit as st

import drf
from drf import statistics
from webapp.links import url_keys
from webapp.store import StoreVersion
from webapp.ui import badges

WHAT_IS_WHAT = """
$G$ is the ground truth and $P$ the prediction, 68 points each, in picture pixels; $n$ faces.
"""

METRICS = (  # name, formula no wider than a phone, explanation
    (
        "Image error",
        r"e_i = \frac{1}{68} \sum_{j=1}^{68} \frac{\lVert P_{ij} - G_{ij} \rVert_2}{d_i}",
        "The mean distance of the landmarks, as a share of the normaliser $d_i$.",
    ),
    (
        "NME",
        r"\mathrm{NME} = \frac{1}{n} \sum_i e_i",
        "Normalised mean error: a mean of ratios, not a ratio of sums. Lower is better.",
    ),
    (
        "FR@t",
        r"\mathrm{FR}_t = \frac{1}{n} \, \#\{i : e_i > t\}",
        "Failure rate, at thresholds of 8 % and 10 %. Lower is better.",
    ),
    (
        "AUC@t",
        r"\begin{aligned} \mathrm{AUC}_t &= \frac{1}{t} \int_0^t \mathrm{CED}(x)\,dx"
        r" \\ &= \frac{1}{n} \sum_i \frac{\max(0,\, t - e_i)}{t} \\"
        r" \mathrm{CED}(x) &= \frac{1}{n} \, \#\{i : e_i \le x\} \end{aligned}",
        "Area under the cumulative error distribution, exactly, without a grid. Higher is better.",
    ),
    (
        "Normalisers",
        r"\begin{aligned} d^{\mathrm{ocular}} &= \lVert G_{36} - G_{45} \rVert_2 \\"
        r" d^{\mathrm{pupil}} &= \Bigl\lVert \tfrac16 \sum_{j=36}^{41} G_j"
        r" - \tfrac16 \sum_{j=42}^{47} G_j \Bigr\rVert_2 \end{aligned}",
        "Outer eye corners, or eye centres; always of the ground truth. The second is shorter, so "
        "every error is larger under it: never compare errors across the two.",
    ),
)

STATISTICS = f"""
- **Method**: the runs that differ only in their seed, on the same training faces. Its scores are
  means over them, **± sd** the sample standard deviation ($n - 1$).
- **95 % interval**: percentile bootstrap over faces, {statistics.DRAWS:,} draws, seed fixed, so
  the same store gives the same digits. A method's error on a face is the mean over its seeds.
- **Δ NME**: difference to the baseline, resampling the faces that both have with their pairs kept.
  **✱**: the interval excludes 0. It covers the choice of faces, not of seeds; for these see ± sd.
- **Published results** use the same subset and normalisation but other boxes and training sets.
  They are shown in grey and not ranked.
"""

PROTOCOLS = """
- **gt**: a square on the longer side of the landmark box, 1.25 times as large; no stretching.
- **gt_jitter**: the same, its centre off by 5 % of the side and its side by 10 % (normal, seeded).
- **file**: boxes of a detector, read from a file.

Scores under different boxes are not comparable: jitter alone raises the error of the mean shape by
a third.
"""

TERMS = """
**300-W** (LFPW, Helen, AFW, iBUG) is for research only; commercial use is not allowed. A store made
from it holds crops of its pictures, so the terms travel with the file and with screenshots of it.
The **synthetic** faces are made by this project, depict nobody, and are as free as its code (MIT).
"""


def page(current: StoreVersion) -> None:
    st.title("About")
    text, side = st.columns([3, 2], gap="large")
    with text:
        st.header("Metrics")
        st.markdown(WHAT_IS_WHAT)
        for name, formula, meaning in METRICS:
            st.markdown(f"**{name}**")
            st.latex(formula)
            st.caption(meaning)
        st.header("Statistics")
        st.markdown(STATISTICS)
        st.header("Boxes")
        st.markdown(PROTOCOLS)
        st.header("Terms of the data")
        st.markdown(TERMS)
    with side:
        st.header("Status of a run")
        for status, look in badges.STATUS_STYLES.items():
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(status, icon=look.icon, color=look.colour)
                st.caption(look.meaning)
        st.header("Links")
        st.table({f"`{key.name}`": key.meaning for key in url_keys.KEYS}, border="horizontal")
        st.caption(f"drf {drf.__version__}, store at revision {current.revision}")


page(st.session_state["store"])
