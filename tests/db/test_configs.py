"""Configurations beside each other, with what the configuration leaves to the machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from db.analysis.configs import COMPARED, differences, provenance, settings
from db.connection import open_reader, open_store
from db.recording import runs
from drf.config import NEW_KEYS
from tests.db.examples import new_run


def test_settings_are_configuration_and_what_it_leaves_open(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    db = open_store(path)
    one = runs.start_run(db, new_run())
    config = {"training.lr": 2e-3, "model.trees": 4}
    other = new_run(
        config=config,
        sources=dict.fromkeys(config, "--set"),
        provenance={"precision": "bf16", "hardware": "two cores"},
        manifest={"digest": "0123456789abcdef"},
    )
    two = runs.start_run(db, other)
    with contextlib.closing(open_reader(path)) as reader:
        frame = settings(reader, [two, one, "no such run"])
        around = provenance(reader, [one, two])
    assert list(frame.index) == [two, one]
    assert list(frame.columns[: len(COMPARED)]) == list(COMPARED)
    assert frame.loc[two].to_dict() == {
        "family": '"hourglass"',
        "precision": '"bf16"',
        "device": None,
        "training faces": '"01234567"',
        "training box file": None,
        "training.lr": "0.002",
        "model.trees": "4",
        "model.width": None,
        "augment.flip": None,
        "data.root": None,
    }
    assert frame.loc[one, "data.root"] == "null"  # set to nothing is not the same as not there
    assert frame.loc[one, "device"] == '"cpu"'
    assert around.loc[two].to_dict() == {"code": None, "hardware": "two cores"}
    assert around.loc[one, "code"] == "0" * 8


def test_a_run_that_is_older_than_a_key_has_the_value_that_says_what_it_does(
    tmp_path: Path,
) -> None:
    (key, value), *_ = NEW_KEYS.items()
    db, config = open_store(tmp_path / "drf.db"), {"training.lr": 2e-3}
    made = [
        new_run(family=family, config=config | more, sources=dict.fromkeys(config | more, "--set"))
        for family, more in (("a", {}), ("a", {key: value}), ("a", {key: 3}), ("b", {}))
    ]
    older, same, other, of_another_family = (runs.start_run(db, one) for one in made)
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as reader:
        frame = settings(reader, [older, same, other, of_another_family])
        assert frame[key].tolist() == [str(value), str(value), "3", None]
        assert key not in settings(reader, [older])
        assert key not in differences(reader, older, same)["key"].tolist()
        apart = differences(reader, other, older).set_index("key")
        assert apart.loc[key, ["a", "b"]].tolist() == [3, value]


def test_settings_of_no_run_are_an_empty_table(tmp_path: Path) -> None:
    open_store(tmp_path / "drf.db").close()
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as reader:
        assert settings(reader, []).empty
