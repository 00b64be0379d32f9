"""Scripts that measure: run each as a module from the repository's root.

    python -m benchmarks.NAME [--quick] [--json]

An experiment, which trains and stores runs: `contest`; others are grids of `drf sweep run`. Timings
and other measurements: everything else. `timing` holds what several of them share. --quick takes
about a minute; --json prints one JSON document on stdout. All end by `run_script`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from drf.errors import DrfError
from drf.text import printable


def run_script(main: Callable[[], int | None]) -> NoReturn:
    """Run the main function of a script and exit with what it returns; what the user can mend is a
    sentence on stderr."""
    try:
        sys.exit(main())
    except DrfError as error:
        script = Path(sys.argv[0])
        name = script.parent.name if script.stem == "__main__" else script.stem
        print(printable(f"{name}: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
