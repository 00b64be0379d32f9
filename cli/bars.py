"""Progress bars on a terminal's stderr; silent where nobody watches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from cli.output import progress


@contextlib.contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show one bar; yields the function (done, total) that moves it."""
    from rich.progress import Progress

    console = progress()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
