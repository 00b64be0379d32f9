"""Help is instant: it imports nothing heavy."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

BOUND_S = 0.5
HEAVY = ("torch", "pandas", "streamlit", "sqlite_utils", "numpy", "cv2", "scipy")


def children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "words", [("--help",), ("train", "--help"), ("data", "pack", "--help"), ("predict", "--help")]
)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    code = (
        "import sys; from cli.main import main\n"
        f"sys.argv = ['drf', *{words!r}]\n"
        "try: main()\n"
        f"finally: print('heavy:', *sorted({set(HEAVY)!r} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: drf" in done.stdout
    assert done.stderr.splitlines()[-1].strip() == "heavy:"
