"""What the board calls boxes: names that people give, in a form that links can contain."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.connection import open_store
from db.recording import box_labels

DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mtcnn", "mtcnn"),
        ("S3FD v2/final", "S3FD_v2_final"),
        ("..", "boxes"),
        ("", "boxes"),
        (None, "boxes"),
        ("顔", "boxes"),
        ("a" * 99, "a" * 40),
        ("x-0badf00d", "x-0badf00d"),
    ],
)
def test_a_name_can_stand_in_a_link(tmp_path: Path, name: str | None, expected: str) -> None:
    store = open_store(tmp_path / "drf.db")
    manifest = {"box_file": DIGEST, "box_name": name}
    label = box_labels.label(store.conn, "file", manifest)
    store.close()
    assert label == f"file-{expected}-01234567"
    assert box_labels.protocol(label) == "file"
    assert box_labels.title(label) == f"file {expected} (01234567)"
    assert "/" not in label


def test_other_protocols_are_called_as_they_are(tmp_path: Path) -> None:
    store = open_store(tmp_path / "drf.db")
    for box in ("gt", "gt_jitter"):
        assert box_labels.label(store.conn, box, {"box_file": DIGEST}) == box
        assert box_labels.protocol(box) == box_labels.title(box) == box
    assert box_labels.label(store.conn, "file", {}) == "file"
    store.close()


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("file", "file-a-00000001"),
        ("file-b-00000002", "file-b-00000002"),
        ("file-other-00000002", "file-b-00000002"),
        ("file-a-00000003", None),
        ("gt", None),
        ("files", None),
    ],
)
def test_a_link_means_a_file_by_its_digest(wanted: str, found: str | None) -> None:
    known = ["gt", "file-a-00000001", "file-b-00000002"]
    assert box_labels.meant(wanted, known) == found
