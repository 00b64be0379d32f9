"""Parts of a page that the browser asks for by itself: what takes long and is not looked at first,
and what shows something that goes on.

A visitor may leave the page meanwhile. Streamlit then takes a request for a part of the old page
for a way back to it, and clears the new one: so nothing is asked for while something runs, nor in
the moments after a click. Its own `run_every` does not wait.
"""

from __future__ import annotations

import streamlit as st

DELAY_MS = 400
"""After the rest of the page: so that who sorts a table three times waits for one chart."""
_AFTER_CLICK_MS = 2500
_SCRIPT = """
export default function again({ data, setTriggerValue }) {
  const acted = ["click", "keydown", "popstate"];
  let timer;
  const ask = () => {
    const app = document.querySelector("[data-test-script-state]");
    if (app && app.dataset.testScriptState !== "notRunning") wait(100);
    else setTriggerValue("due", true);
  };
  const wait = (ms) => { clearTimeout(timer); timer = setTimeout(ask, ms); };
  const postpone = () => wait(Math.max(data.delay, data.afterClick));
  acted.forEach((name) => addEventListener(name, postpone, true));
  wait(data.delay);
  return () => {
    clearTimeout(timer);
    acted.forEach((name) => removeEventListener(name, postpone, true));
  };
}
"""


def due(key: str, content: str) -> bool:
    """Return whether the content may be drawn now. If not, the browser runs the fragment that calls
    this once more, a moment after it shows the rest of the page; then it may.

    key: of the place; content: what identifies that which is shown there
    """
    if st.session_state.get(key) == content:
        return True

    def remember() -> None:
        st.session_state[key] = content

    follow = st.components.v2.component("drf.deferred", html="<p>Charts follow.</p>", js=_SCRIPT)
    follow(key=f"{key}_{content}", data=_data(DELAY_MS), on_due_change=remember)
    return False


def again(key: str, seconds: float) -> None:
    """Let the browser run the fragment that calls this once more, so many seconds from now.

    key: of the place
    """
    times = st.session_state.setdefault(key, 0)

    def count() -> None:
        st.session_state[key] = times + 1

    # Not drf.deferred: a name has one definition for all visitors, and this one shows nothing.
    repeat = st.components.v2.component("drf.again", js=_SCRIPT)
    repeat(key=f"{key}_{times}", data=_data(round(1000 * seconds)), on_due_change=count)


def _data(delay_ms: int) -> dict[str, int]:
    return {"delay": delay_ms, "afterClick": _AFTER_CLICK_MS}
