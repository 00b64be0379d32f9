"""Fixtures that several packages' tests share."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import typer.main

# Before anything imports torch: on tensors this small, threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it puts in the background with Ctrl-C ignored, and children inherit that: the
# tests that interrupt a process would wait for it for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Typer puts a command line together from its functions at every call, which takes longer than most
# commands that a test runs in its own process.
typer.main.get_command = functools.cache(typer.main.get_command)

# How long an example takes is no property: other work on the machine would decide it.
hypothesis.settings.register_profile("drf", deadline=None)
hypothesis.settings.load_profile("drf")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what looks at the app in a browser: these files are few and long, and one that
    began last would keep one process waiting for the other."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


def pytest_collection_finish() -> None:
    """Take all that is imported by now out of the sight of the garbage collector: Streamlit starts
    it after every run of a page, to go through torch, pandas and Plotly each time."""
    gc.collect()
    gc.freeze()


REPOSITORY = Path(__file__).parents[1]
MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Give the process its main module back: Streamlit's AppTest leaves the app in its place, which
    every process that a later test spawns would run before its own work."""
    yield
    sys.modules["__main__"] = MAIN


@pytest.fixture
def few_faces(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, int]:
    """Few synthetic faces in every subset, and one cache for them: whoever trains would render and
    look at 200 validation faces in each of its epochs. Processes that a test starts have all faces,
    and the same cache. Return the number of faces by subset."""
    few = {"train": 48, "val": 16, "common": 24, "challenging": 12}
    monkeypatch.setattr("drf.data.synthetic_dataset.SIZES", few)
    monkeypatch.setenv("DRF_CACHE", str(tmp_path_factory.getbasetemp() / "packed-faces"))
    return few


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """Return the root of 300-W: DRF_DATA, else ../shared/data/300w beside the repository."""
    root = Path(os.environ.get("DRF_DATA") or REPOSITORY.parent / "shared/data/300w")
    if not (root / "helen/testset").is_dir():
        pytest.skip(f"no 300-W faces in {root}: set DRF_DATA to a folder that holds helen/testset")
    return root
