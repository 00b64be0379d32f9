"""Entry of the app: `streamlit run webapp/app.py`, with the store in DRF_DB (default runs/drf.db).

Finds the store and runs the chosen page; without a store it shows how to make one. Pages are
scripts in `views/`; they import the rest from `webapp`.
"""

import gc
import sys
from pathlib import Path

import streamlit as st
from threadpoolctl import threadpool_limits

from drf.errors import NotFoundError
from webapp import photo, store
from webapp.links import address, earlier, named_views, navigation, url_keys, widgets
from webapp.ui import error_pages, frame
from webapp.ui.text import plain

ICON = str(Path(__file__).with_name("icon.svg"))
# The pages have no icons: Streamlit would fetch them from a font host, for the browser's tab.
PAGES = [
    st.Page(
        "views/leaderboard.py",
        title="Leaderboard",
        help="Every evaluated run of one dataset and subset, ranked.",
        default=True,
    ),
    st.Page(
        "views/run.py",
        title="Run",
        url_path=url_keys.RUN,
        help="One run: scores, curves, configuration, and the faces it gets wrong.",
    ),
    st.Page(
        "views/images.py",
        title="Images",
        url_path=url_keys.IMAGES,
        help="Faces by error, disagreement between runs, or improvement of one run over another.",
    ),
    st.Page(
        "views/compare.py",
        title="Compare",
        url_path=url_keys.COMPARE,
        help="Two to six runs side by side: scores, curves, faces, and configuration differences.",
    ),
    st.Page(
        "views/ablations.py",
        title="Ablations",
        url_path=url_keys.ABLATIONS,
        help="The effect of one or two configuration keys, all others being equal.",
    ),
    st.Page(
        "views/live.py",
        title="Live",
        url_path=url_keys.LIVE,
        help="Runs that are training, with progress and curves, and those that ended recently.",
    ),
    st.Page(
        "views/photo.py",
        title="Try a photo",
        url_path=url_keys.PHOTO,
        # A link to it still says why there is nothing to see.
        visibility="visible" if photo.switched_on() else "hidden",
        help="The landmarks of the faces in a photo of yours, by the released model.",
    ),
    st.Page(
        "views/about.py",
        title="About",
        url_path=url_keys.ABOUT,
        help="What the numbers mean, and the licence terms of the data.",
    ),
]


def main() -> None:
    _settle_threads()
    page = st.navigation(PAGES, position="hidden")  # the bar is `navigation.bar`
    st.set_page_config(page_title=f"{page.title} · drf", page_icon=ICON, layout="wide")
    st.logo(ICON)
    frame.show_style()
    pages = st.container()
    notices = st.container()
    with address.one_entry(), error_pages.boundary():
        try:
            current = st.session_state["store"] = store.current()
        except NotFoundError:
            _no_store()
            return
        earlier.bring_up_to_date(current)
        widgets.begin(page.url_path)
        named_views.open_named_view(current, page, PAGES)
        with pages:
            if page.url_path == url_keys.LEADERBOARD:
                frame.skip_link()
            navigation.bar(current, page, PAGES)
        named_views.show_description(current, page.url_path)
        page.run()
    with notices:
        widgets.show_notices()
    address.settle()
    _settle(page.url_path)


@st.cache_resource(show_spinner=False)
def _settle_threads() -> None:
    """Once: multiply matrices on one thread, and let other threads have their turn soon.

    The matrices of a page are small, and threads that wait for each other take ten times as long
    where the browser, or a training, is on the same cores. The thread that sends a page waits for
    the one that makes it, 5 ms for each message by default; the browser draws meanwhile.
    """
    threadpool_limits(1, user_api="blas")
    sys.setswitchinterval(0.0005)


@st.cache_resource(show_spinner=False)
def _settle(page: str) -> None:
    """Once a page: take what it has loaded out of the sight of the garbage collector, which
    Streamlit starts after every run of a page, to go through all of pandas and Plotly each time."""
    gc.collect()
    gc.freeze()


def _no_store() -> None:
    st.title("Nothing to show yet")
    st.info(f"There is no store at {plain(store.shown_path())}.", icon=":material/database_off:")
    st.markdown("Make one, with three models on the built-in synthetic faces, in five minutes:")
    st.code("make demo", language="bash")
    st.markdown("or name another one:")
    st.code("DRF_DB=FILE streamlit run webapp/app.py", language="bash")


main()
