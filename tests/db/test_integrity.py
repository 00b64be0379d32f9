from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from db import integrity
from db.connection import open_reader


@pytest.fixture
def vandal(filled: list[str], path: Path) -> sqlite3.Connection:
    """A connection that keeps no rule of ours."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    return connection


def test_a_good_store_has_no_fault(con: sqlite3.Connection) -> None:
    assert integrity.faults(con) == []


@pytest.mark.parametrize(
    ("damage", "check", "problem"),
    [
        (
            "UPDATE scores SET value = value - 0.001 WHERE evaluation = 2 AND norm = 'pupil' AND"
            " metric = 'auc' AND threshold = 0.08",
            "scores",
            "pupil auc at 8 % do not follow",
        ),
        ("DELETE FROM scores WHERE evaluation = 2 AND metric = 'nme'", "scores", "ocular nme"),
        ("UPDATE scores SET threshold = 0.07 WHERE threshold = 0.08", "scores", "ocular fr at 7 %"),
        (
            "UPDATE image_errors SET ocular = ocular + 0.001 WHERE evaluation = 2",
            "image errors",
            "6 ocular errors do not follow",
        ),
        (
            "UPDATE image_errors SET prediction = (SELECT points FROM faces WHERE id = face)"
            " WHERE evaluation = 2 AND face = 1",
            "image errors",
            "1 pupil errors do not follow",
        ),
        ("DELETE FROM error_vectors WHERE evaluation = 2", "error vectors", "ocular errors says"),
        (
            "UPDATE error_vectors SET pupil = ocular WHERE evaluation = 2",
            "error vectors",
            "pupil errors says",
        ),
        ("DELETE FROM image_errors WHERE evaluation = 2 AND face = 1", "count", "says 6 faces"),
        ("DELETE FROM image_errors WHERE evaluation = 2", "count", "but has 0"),
        ("UPDATE evaluations SET n = 7 WHERE id = 2", "count", "says 7 faces but has 6"),
        ("DELETE FROM faces WHERE id = 1", "references", "a row of faces not there"),
        ("DELETE FROM runs WHERE name = 'mean-shape'", "references", "a row of runs not there"),
        ("UPDATE faces SET points = x'00' WHERE id = 1", "blobs", "points has 1 bytes"),
        (
            "UPDATE image_errors SET prediction = x'0011' WHERE evaluation = 2 AND face = 1",
            "blobs",
            "prediction has 2 bytes",
        ),
    ],
)
def test_damage_is_found(
    vandal: sqlite3.Connection, path: Path, damage: str, check: str, problem: str
) -> None:
    assert vandal.execute(damage).rowcount > 0
    vandal.close()
    con = open_reader(path)
    found = integrity.faults(con)
    con.close()
    assert any(fault.check == check and problem in fault.problem for fault in found), found


def test_a_broken_page_is_found(filled: list[str], path: Path) -> None:
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    content = bytearray(path.read_bytes())
    con = sqlite3.connect(path)
    (page,) = con.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'image_errors_face'"
    ).fetchone()
    con.close()
    content[(page - 1) * 4096 : (page - 1) * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    reader = open_reader(path)
    found = integrity.faults(reader)
    reader.close()
    assert found
    assert {fault.check for fault in found} == {"integrity"}
