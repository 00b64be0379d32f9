"""Is the app fast with 2,000 runs, 20 evaluations each over 689 faces, and many readers at once?

    python -m benchmarks.app_load [--quick] [--json] [--runs N] [--evaluations N] [--faces N]
                                  [--store FILE] [--mlflow PYTHON]

Fills a store (kept with --store, and used again if it is there), walks through the app in headless
Chromium, reads with 20 visitors while a run writes, and lets MLflow's server search as many runs of
its own. The full store takes 17 GB. MLflow is asked for in its own environment, for it needs
another pyarrow: python -m venv peers; peers/bin/pip install mlflow; --mlflow peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import run_script
from benchmarks.app_load import browse, fill, peer, readers
from db import predictions, reads
from db.connection import open_reader
from drf.files import user_path

QUICK = fill.Size(runs=60, evaluations=4, faces=120)
TARGETS = {  # what `browse.measure` and `readers.measure` find, at most
    "first page": 2000.0,
    "filter": 300.0,
    "sort": 300.0,
    "run page": 500.0,
    "overlay": 150.0,
    "memory, MB": 600.0,
    "errors": 0.0,  # a lock that is waited for longer than 200 ms is one
}


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        store = arguments.store or Path(scratch) / "drf.db"
        document = measure(store, arguments)
    if arguments.json:
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        _print(document)


def measure(store: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    size = fill.Size(arguments.runs, arguments.evaluations, arguments.faces)
    document: dict[str, Any] = {"machine": _machine(), "size": asdict(size)}
    if not store.exists():
        began = time.perf_counter()
        fill.fill(store, size)
        document["fill_s"] = time.perf_counter() - began
    document["store_mb"] = store.stat().st_size / 1e6
    document["reads_ms"], names = _reads(store)
    repeats, clicks, seconds = (3, 10, 4.0) if arguments.quick else (7, 200, 20.0)
    found = browse.measure(store, names, repeats=repeats, clicks=clicks)
    tally = readers.measure(store, seconds)
    found["errors"] = float(tally.errors)
    document |= {"found": found, "readers": asdict(tally), "clicks": clicks}
    document["met"] = {name: found[name] <= limit for name, limit in TARGETS.items()}
    return document | {"mlflow": _mlflow(arguments.mlflow, size.runs, document["reads_ms"], found)}


def _reads(store: Path) -> tuple[dict[str, float], list[str]]:
    """Time what the pages read, and return names of runs to look at."""
    con = open_reader(store)
    board = reads.board_filters(con).iloc[0]
    run = reads.runs(con)["id"].iloc[0]
    wanted = {
        "boards": lambda: reads.board_filters(con),
        "one board": lambda: reads.leaderboard(con, **board[list(reads.BOARD)]),
        "all runs": lambda: reads.runs(con),
        "one run": lambda: (reads.run(con, run), reads.curves(con, run)),
        "errors of one": lambda: predictions.image_errors(con, 1),
    }
    taken = {}
    for name, read in wanted.items():
        read()
        began = time.perf_counter()
        read()
        taken[name] = 1e3 * (time.perf_counter() - began)
    names = [run[:8] for run in reads.runs(con)["id"].iloc[:40:5]]
    con.close()
    return taken, names


def _mlflow(
    python: str, runs: int, reads_ms: dict[str, float], found: dict[str, float]
) -> dict[str, Any]:
    """Return MLflow's search over the same number of runs, and how many times ours it takes."""
    version = peer.installed(python)
    if version is None:
        return {"skipped": f"{python} has no MLflow; see --mlflow"}
    took = peer.measure(python, runs)
    return took | {
        "version": version,
        "times_our_read": took["search_ms"] / reads_ms["one board"],
        "times_our_sort": took["search_ms"] / found["sort"],
    }


def _machine() -> str:
    import psutil

    load = ", ".join(f"{value:.1f}" for value in psutil.getloadavg())
    return f"{platform.machine()}, {psutil.cpu_count()} cores, load {load}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small store, within a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--store", type=user_path, help="where the store is kept; used again if there"
    )
    parser.add_argument("--mlflow", default=sys.executable, help="an interpreter with MLflow")
    for name in ("runs", "evaluations", "faces"):
        parser.add_argument(f"--{name}", type=int)
    given = parser.parse_args()
    usual = asdict(QUICK if given.quick else fill.Size())
    for name, number in usual.items():
        if getattr(given, name) is None:
            setattr(given, name, number)
    return given


def _print(document: dict[str, Any]) -> None:
    size = document["size"]
    print(f"{size['runs']} runs, {size['evaluations']} evaluations each over {size['faces']} faces")
    filled = f", filled in {document['fill_s']:.0f} s" if "fill_s" in document else ""
    print(f"  {document['machine']}; store of {document['store_mb']:.0f} MB{filled}")
    for name, value in document["reads_ms"].items():
        print(f"  read: {name:<22} {value:8.0f} ms")
    for name, value in document["found"].items():
        target = f"   target {TARGETS[name]:g}" if name in TARGETS else ""
        verdict = ("" if document["met"][name] else ", MISSED") if name in TARGETS else ""
        print(f"  {name:<28} {value:8.0f}{target}{verdict}")
    tally = document["readers"]
    print(
        f"  {readers.READERS} readers: {tally['reads']} reads beside {tally['writes']} writes; with"
        f" the wait for a processor, locks took {tally['longest_read_wait_ms']:.0f} ms to read and"
        f" {tally['longest_write_wait_ms']:.0f} to write at most"
    )
    if tally["first_error"]:
        print(f"  first error: {tally['first_error']}")
    other = document["mlflow"]
    if "skipped" in other:
        print(f"  MLflow: skipped, {other['skipped']}")
    else:
        print(
            f"  MLflow {other['version']}: search of all runs {other['search_ms']:.0f} ms,"
            f" {other['times_our_read']:.1f} x our read, {other['times_our_sort']:.1f} x our sort"
        )


if __name__ == "__main__":
    run_script(main)
