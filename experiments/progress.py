"""Progress on a terminal's stderr; nothing is shown where stderr is no terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Return a console on stderr for progress and remarks."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextlib.contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show one bar; yields the function (done, total) that moves it."""
    from rich.progress import Progress

    on = console()
    with Progress(console=on, transient=True, disable=not on.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
