"""`make bench` runs every benchmark by `python -m benchmarks.NAME --quick`."""

import re
import subprocess

import pytest

from tests.conftest import REPOSITORY


def _benchmarks() -> list[str]:
    """Return the names that `make bench` goes through."""
    said = subprocess.run(
        ["make", "--dry-run", "bench"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    found = re.search(r"for name in (.*?);", said.stdout)
    assert found
    return found[1].split()


@pytest.mark.parametrize("name", _benchmarks())
def test_a_benchmark_may_be_quick(name: str) -> None:
    file = REPOSITORY / "benchmarks" / f"{name}.py"
    main = file if file.exists() else file.with_suffix("") / "__main__.py"
    assert re.search(r'add_argument\(\s*"--quick"', main.read_text())
