"""Content that follows a page: what takes long and is not looked at first."""

from __future__ import annotations

import streamlit as st

DELAY_MS = 400
"""After the rest of the page: so that who sorts a table three times waits for one chart."""
_SCRIPT = """
export default function deferred({ data, setTriggerValue }) {
  const timer = setTimeout(() => setTriggerValue("due", true), data.delay);
  return () => clearTimeout(timer);
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

    mount = st.components.v2.component("drf.deferred", html="<p>Charts follow.</p>", js=_SCRIPT)
    mount(key=f"{key}_{content}", data={"delay": DELAY_MS}, on_due_change=remember)
    return False
