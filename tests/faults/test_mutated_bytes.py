"""Whatever bytes a file has, reading it gives a value or one sentence: no traceback, no hang, no
exhausted memory, and nothing is written elsewhere.

The long part reads 2,000 damaged files of each kind; DRF_FAULTS is another number, DRF_FAULT_SEED
the first of them. `docs/reliability.md` has the figures of the last long run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.faults.damaged_files import BY_COMMANDS, READERS

SHORT, SHORT_BY_COMMANDS = 40, 10
MOST_S = 5.0
MOST_MB = 1000


def read_damaged(folder: Path, first: int, n: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Let a process read damaged files, and return what came of them, a line for each reader."""
    nowhere = folder / "nothing is written here"
    nowhere.mkdir()
    places = {"HOME": str(nowhere), "TMPDIR": str(nowhere), "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.damaged_files", folder, str(first), str(n), *names],
        cwd=nowhere,
        env=os.environ | places,
        capture_output=True,
        text=True,
        timeout=60 + n * len(names) * MOST_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert not list(nowhere.iterdir())
    return [json.loads(line) for line in ended.stdout.splitlines()]


def complaints(outcome: dict[str, Any]) -> list[str]:
    """Return what is wrong with an outcome; a damage is repeated by its number."""
    found = [f"damage {number}: {bug}" for number, bug in outcome["bugs"].items()]
    if outcome["longest_s"] > MOST_S:
        found.append(f"one took {outcome['longest_s']:.1f} s")
    if outcome["peak_mb"] > MOST_MB:
        found.append(f"{outcome['peak_mb']:.0f} MB")
    return found


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of a few damages of every reader's file."""
    of_files = [name for name in READERS if name not in BY_COMMANDS]
    files, commands = (tmp_path_factory.mktemp("damaged") for _ in range(2))
    lines = read_damaged(files, 0, SHORT, of_files)
    lines += read_damaged(commands, 0, SHORT_BY_COMMANDS, BY_COMMANDS)
    return {line["reader"]: line for line in lines}


@pytest.mark.parametrize("name", READERS)
def test_damaged_bytes_are_a_value_or_a_sentence(
    outcomes: dict[str, dict[str, Any]], name: str
) -> None:
    assert not complaints(outcomes[name])
    n = SHORT_BY_COMMANDS if name in BY_COMMANDS else SHORT
    assert outcomes[name]["values"] + outcomes[name]["refused"] == n


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_thousands_of_damages_are_a_value_or_a_sentence(tmp_path: Path, name: str) -> None:
    first, n = int(os.environ.get("DRF_FAULT_SEED") or 0), int(os.environ.get("DRF_FAULTS") or 2000)
    (outcome,) = read_damaged(tmp_path, first, n, [name])
    print(json.dumps(outcome))
    assert not complaints(outcome)
