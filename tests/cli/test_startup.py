"""What makes the command line feel instant."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

BOUND_S = 0.5


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_answers_at_once() -> None:
    """The quickest of five fresh processes, in seconds of CPU: what else the machine does can only
    add to it."""

    def seconds() -> float:
        began = children_s()
        subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", "--help"],
            check=True,
            capture_output=True,
        )
        return children_s() - began

    assert min(seconds() for _ in range(5)) < BOUND_S


@pytest.mark.parametrize("heavy", ["torch", "pandas", "streamlit", "sqlite_utils", "numpy", "cv2"])
def test_nothing_heavy_is_imported_before_a_command_needs_it(heavy: str) -> None:
    code = f"import sys, cli.main; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
