"""About: what is compared on what data, what the numbers mean, how to cite and how to add a run."""

import numpy as np
import streamlit as st

import drf
from drf import literature, presets
from drf.data.dataset import terms_of
from drf.landmarks.markup import Markup
from drf.scoring import scores, statistics
from webapp import store
from webapp.links import named_views, url_keys
from webapp.store import StoreVersion
from webapp.ui import badges
from webapp.ui.text import plain, readable

FORMULAS = (  # name, formula no wider than a phone, explanation
    (
        "Error of a face",
        r"e_i = \frac{1}{|J_i|} \sum_{j \in J_i} \frac{\lVert P_{ij} - G_{ij} \rVert_2}{d_i}",
        "The mean distance of the landmarks from the ground truth, divided by the normaliser $d_i$."
        " $J_i$: the landmarks of the subset that are not missing in face $i$.",
    ),
    (
        "NME",
        r"\mathrm{NME} = \frac{1}{n} \sum_i e_i",
        "A mean of ratios, not a ratio of sums.",
    ),
    (
        "FR@t",
        r"\mathrm{FR}_t = \frac{1}{n} \, \#\{i : e_i > t\}",
        "The share of faces with an error above $t$.",
    ),
    (
        "AUC@t",
        r"\begin{aligned} \mathrm{AUC}_t &= \frac{1}{t} \int_0^t \mathrm{CED}(x)\,dx"
        r" \\ &= \frac{1}{n} \sum_i \frac{\max(0,\, t - e_i)}{t} \\"
        r" \mathrm{CED}(x) &= \frac{1}{n} \, \#\{i : e_i \le x\} \end{aligned}",
        "Area under the cumulative error distribution, exactly, without a grid.",
    ),
)

STATISTICS = f"""
- **Method**: the runs that differ only in their seed, on the same training faces. Its scores are
  means over its seeds, **± sd** the sample standard deviation ($n - 1$).
- **95 % interval**: {statistics.ESTIMATE}; {statistics.DRAWS:,} draws, seed fixed, so the same
  store gives the same digits. The header says what it is over: **{statistics.FACES_AND_SEEDS}**, or
  **{statistics.FACES}**, where nothing is known of other seeds. Two seeds give wide intervals
  (t = 12.7), three narrower ones (4.3).
- **Δ NME**: difference to the baseline on the faces that both have, with such an interval; faces
  keep their pairs, and seeds where both methods have the same. **✱**: the interval excludes 0.
- **Rank, bold, underlined**: by what the table shows. Equal figures share a place, and where two
  are first nobody is second.
- **Published results** use the same subset and normaliser but other boxes and training sets.
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
A store contains crops of the faces that runs were evaluated on. So the terms of a dataset also hold
for the file, and for screenshots of its faces.
"""

ADD_A_RUN = """drf train cascade-forest --dataset 300w --data-root data/300w
drf eval cascade-forest --subset full
drf import predictions FILE --name NAME --dataset 300w --subset full --data-root data/300w"""


def page(current: StoreVersion) -> None:
    st.title("About")
    text, side = st.columns([3, 2], gap="large")
    with text:
        _methods(current)
        _datasets(current)
        _landmarks(store.markups(current))
        st.header("Add a run")
        st.markdown("Train and evaluate a method of drf, or import the predictions of any other:")
        st.code(ADD_A_RUN, language="bash")
        st.header("Cite")
        st.markdown("This benchmark, and the data that you use; each method names its paper.")
        cited = literature.cited((), datasets=set(store.boards(current)["dataset"]))
        st.code("\n\n".join(paper.bibtex.strip() for paper in cited), language="bibtex")
        _scores(store.markups(current))
        st.header("Statistics")
        st.markdown(STATISTICS)
        st.header("Boxes")
        st.markdown(PROTOCOLS)
        st.header("Terms of the data")
        st.markdown(TERMS)
        datasets = store.boards(current)["dataset"].unique()
        st.markdown("\n".join(f"- **{plain(one)}**: {plain(terms_of(one))}." for one in datasets))
    with side:
        st.header("Status of a run")
        for status, look in badges.STATUS_STYLES.items():
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.badge(status, icon=look.icon, color=look.colour)
                st.caption(look.meaning)
        if store.views(current):
            st.header("Named views")
            named_views.list_all(current)
        with st.expander("Parameters of links", icon=":material/link:"):
            st.table({f"`{key.name}`": key.meaning for key in url_keys.KEYS}, border="horizontal")
        st.caption(f"drf {drf.__version__}, store at revision {current.revision}")


def _methods(current: StoreVersion) -> None:
    """List the methods of the store by their presets, each with its sentence."""
    st.header("Methods")
    used = set(store.runs(current)["preset"].dropna()) & set(presets.names())
    if not used:
        st.markdown("No run of the store was made by a preset of this version.")
    st.markdown(
        "\n".join(f"- **{plain(n)}**: {plain(presets.load(n).summary)}" for n in sorted(used))
    )


def _datasets(current: StoreVersion) -> None:
    """List what the runs of the store were evaluated on."""
    st.header("Datasets")
    boards = store.boards(current)
    for dataset, rows in boards.groupby("dataset"):
        subsets = ", ".join(dict.fromkeys(map(str, rows["subset"])))
        st.markdown(f"- **{plain(dataset)}**: {plain(subsets)}")


def _landmarks(markups: list[Markup]) -> None:
    """List the numbers of the landmarks, by the part of the face."""
    st.header("Landmarks")
    st.markdown("Numbers begin at 0, as in hovers, exports and formulas.")
    for markup in markups:
        parts = {group: _range(members) for group, members in markup.groups.items()}
        listed = ", ".join(
            f"{plain(readable(group))} {numbers}" for group, numbers in parts.items()
        )
        st.markdown(f"**{plain(markup.name)}** ({markup.n_points}): {listed}")


def _range(members: tuple[int, ...]) -> str:
    """Return landmark numbers as text: 0–16 where they follow each other."""
    if members == tuple(range(members[0], members[-1] + 1)):
        return f"{members[0]}–{members[-1]}" if len(members) > 1 else str(members[0])
    return ", ".join(map(str, members))


def _scores(markups: list[Markup]) -> None:
    """Show the scores and normalisers of `drf.scoring.scores`, and their formulas."""
    st.header("Scores")
    counts = ", ".join(f"{markup.n_points} in {plain(markup.name)}" for markup in markups)
    st.markdown(
        "$G$ is the ground truth and $P$ the prediction, in picture pixels; $n$ faces."
        f" Landmarks of a face: {counts or 'as many as its markup has'}."
    )
    st.markdown("\n".join(f"- **{score.heading}**: {score.meaning}" for score in scores.SCORES))
    for name, formula, meaning in FORMULAS:
        st.markdown(f"**{name}**")
        st.latex(formula)
        st.caption(meaning)
    st.header("Normalisers")
    st.markdown(
        "Always of the ground truth, whatever landmarks the errors are averaged over. They differ"
        " in length, so errors under different normalisers do not compare."
    )
    for normaliser in scores.NORMALISERS:
        st.markdown(f"**{normaliser.title}**: {normaliser.meaning}")
        for markup in markups:
            if normaliser.key in markup.normalisers:
                st.latex(_distance(normaliser.key, markup))
                st.caption(f"Landmarks of {plain(markup.name)}.")


def _distance(key: str, markup: Markup) -> str:
    """Return the formula of a normaliser that a markup names landmarks for."""
    one, other = markup.normalisers[key]
    difference = f"{_centre(one)} - {_centre(other)}"
    return rf"d^{{\mathrm{{{key}}}}} = \Bigl\lVert {difference} \Bigr\rVert_2"


def _centre(landmarks: tuple[int, ...]) -> str:
    """Return the centre of landmarks as a formula: one of them, or their mean."""
    if len(landmarks) == 1:
        return f"G_{{{landmarks[0]}}}"
    first, last = landmarks[0], landmarks[-1]
    run = np.array_equal(landmarks, np.arange(first, last + 1))
    over = (
        f"_{{j={first}}}^{{{last}}}"
        if run
        else rf"_{{j \in \{{{', '.join(map(str, landmarks))}\}}}}"
    )
    return rf"\tfrac{{1}}{{{len(landmarks)}}} \sum{over} G_j"


page(st.session_state["store"])
