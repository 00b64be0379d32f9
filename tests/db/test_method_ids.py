from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from db import method_ids
from db.connection import open_reader, open_store
from db.recording import runs
from drf.config import NEW_KEYS
from tests.db import examples

CONFIG = {"training.lr": 1e-3, "training.seed": 0, "model.trees": 5, "note": 'a"}, {"b'}


def started(path: Path, *changes: dict[str, Any]) -> list[str]:
    """Start a run of CONFIG for each set of changes of its fields; returns the methods."""
    db = open_store(path)
    ids = []
    for change in changes:
        config = change.get("config", CONFIG)
        new = examples.new_run(**{"config": config, "sources": dict.fromkeys(config, "default")}
                               | change)  # fmt: skip
        ids.append(runs.start_run(db, new))
    db.close()
    con = open_reader(path)
    method = method_ids.method_of_runs(con)
    con.close()
    assert method.name == "method"
    assert method.index.name == "run"
    return [method[run] for run in ids]


def test_runs_that_differ_only_by_seed_are_one_method(path: Path) -> None:
    other = {"seed": 1, "config": CONFIG | {"training.seed": 1}, "name": "again"}
    first, second = started(path, {}, other)
    assert first == second


@pytest.mark.parametrize(
    "change",
    [
        {"config": CONFIG | {"training.lr": 2e-3}},
        {"config": CONFIG | {"model.depth": 5}},
        {"config": {key: value for key, value in CONFIG.items() if key != "note"}},
        {"config": CONFIG | {"model.trees": "5"}},
        {"family": "mean-shape"},
        {"manifest": {"faces": 2000, "digest": "other faces"}},
    ],
)
def test_anything_else_makes_another_method(path: Path, change: dict[str, Any]) -> None:
    first, second = started(path, {}, change)
    assert first != second


@pytest.mark.parametrize(("key", "value"), NEW_KEYS.items())
def test_a_key_that_older_runs_lack_makes_no_other_method(
    path: Path, key: str, value: object
) -> None:
    older, same, other = started(
        path, {}, {"config": CONFIG | {key: value}}, {"config": CONFIG | {key: 3}}
    )
    assert older == same != other


def test_a_run_without_configuration_has_a_method_too(path: Path) -> None:
    floor = {"config": {}, "sources": {}, "family": "mean-shape"}
    first, second = started(path, floor, floor | {"family": "median-shape"})
    assert first != second


def test_a_method_is_the_hash_that_its_docstring_says(path: Path) -> None:
    (method,) = started(path, {})
    config = {key: CONFIG[key] for key in sorted(CONFIG) if key != "training.seed"}
    text = json.dumps(["hourglass", "abc", config], separators=(",", ":"))
    assert method == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_an_empty_store_has_no_methods(path: Path) -> None:
    open_store(path).close()
    con: sqlite3.Connection = open_reader(path)
    assert method_ids.method_of_runs(con).empty
    con.close()
