"""How scripts end that are run as `python -m`: those of this package and those of benchmarks."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from drf.errors import DrfError, explain_os_error
from drf.text import printable


def run_script(main: Callable[[], int | None]) -> NoReturn:
    """Run the main function of a script and exit with what it returns; what the user can mend is a
    sentence on stderr, what the system refuses too."""
    try:
        sys.exit(main())
    except DrfError as error:
        _end(error)
    except OSError as error:
        known = None if error.errno == errno.EPIPE else explain_os_error(error)
        if known is None:
            raise
        _end(known)


def _end(error: DrfError) -> NoReturn:
    script = Path(sys.argv[0])
    name = script.parent.name if script.stem == "__main__" else script.stem
    print(printable(f"{name}: {error}"), file=sys.stderr)
    sys.exit(error.exit_code)
