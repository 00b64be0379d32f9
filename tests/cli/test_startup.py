"""What makes the command line feel instant."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

BOUND_S = 0.5


def test_help_answers_at_once() -> None:
    """The quickest of five fresh processes: what else the machine does can only add to it."""

    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", "--help"],
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < BOUND_S


@pytest.mark.parametrize("heavy", ["torch", "pandas", "streamlit", "sqlite_utils", "numpy", "cv2"])
def test_nothing_heavy_is_imported_before_a_command_needs_it(heavy: str) -> None:
    code = f"import sys, cli.main; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
