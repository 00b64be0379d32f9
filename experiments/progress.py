"""What is told on stderr: sentences, and progress bars where it is a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from drf.text import printable

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Return a console that writes to stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(sentence: object) -> None:
    """Print a sentence on stderr."""
    print(printable(sentence), file=sys.stderr, flush=True)


@contextlib.contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show one progress bar; yields the function (done, total) that updates it."""
    from rich.markup import escape
    from rich.progress import Progress

    on = console()
    with Progress(console=on, transient=True, disable=not on.is_terminal) as shown:
        task = shown.add_task(escape(printable(title)), total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
