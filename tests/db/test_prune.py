"""Pruning takes what takes room, and no result."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import reads
from db.connection import open_reader, open_store
from db.maintenance.prune import PARTS, prune


def test_no_score_changes_and_the_store_stays_sound(path: Path, filled: list[str]) -> None:
    reader = open_reader(path)
    before = reads.leaderboard(reader)
    reader.close()
    store = open_store(path)
    prune(store, list(PARTS))
    left = store.execute("SELECT count(*) FROM faces WHERE crop IS NOT NULL").fetchone()
    store.close()
    assert left == (0,)
    reader = open_reader(path)
    assert reads.leaderboard(reader).equals(before)
    reader.close()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_goes_and_the_others_stay(path: Path, filled: list[str], part: str) -> None:
    def there(store) -> dict[str, int]:
        wanted = {
            "crops": "SELECT count(crop) FROM faces",
            "epoch-faces": "SELECT count(*) FROM epoch_predictions",
            "covariances": "SELECT count(covariance) FROM predictions",
        }
        return {name: store.execute(sql).fetchone()[0] for name, sql in wanted.items()}

    store = open_store(path)
    before = there(store)
    assert prune(store, [part]) == {part: before[part]}
    assert there(store) == before | {part: 0}
    store.close()
