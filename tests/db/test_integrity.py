from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from db.connection import open_reader
from db.maintenance import integrity


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
            " score = 'auc8'",
            "scores",
            "pupil auc8 do not follow",
        ),
        ("DELETE FROM scores WHERE evaluation = 2 AND score = 'nme'", "scores", "ocular nme"),
        ("UPDATE scores SET score = 'fr7' WHERE score = 'fr8'", "scores", "ocular fr8"),
        ("UPDATE scores SET value = NULL WHERE norm = 'box'", "scores", "box nme, box median"),
        (
            "UPDATE error_vectors SET errors = zeroblob(length(errors))"
            " WHERE evaluation = 2 AND norm = 'ocular'",
            "error vectors",
            "6 ocular errors do not follow",
        ),
        (
            "UPDATE predictions SET prediction = (SELECT points FROM faces WHERE id = face)"
            " WHERE evaluation = 2 AND face = 1",
            "error vectors",
            "1 pupil errors do not follow",
        ),
        (
            "DELETE FROM error_vectors WHERE evaluation = 2",
            "error vectors",
            "has no ocular errors yet",
        ),
        (
            "UPDATE error_vectors SET errors = (SELECT v.errors FROM error_vectors AS v WHERE"
            " v.evaluation = 2 AND v.norm = 'ocular') WHERE evaluation = 2 AND norm = 'pupil'",
            "error vectors",
            "6 pupil errors do not follow",
        ),
        ("DELETE FROM predictions WHERE evaluation = 2 AND face = 1", "count", "says 6 faces"),
        ("DELETE FROM predictions WHERE evaluation = 2", "count", "but has 0"),
        ("UPDATE evaluations SET n = 7 WHERE id = 2", "count", "says 7 faces but has 6"),
        ("UPDATE face_sets SET faces = zeroblob(48)", "face set", "is not that of its predictions"),
        ("DELETE FROM faces WHERE id = 1", "references", "a row of faces not there"),
        ("DELETE FROM runs WHERE name = 'mean-shape'", "references", "a row of runs not there"),
        ("UPDATE faces SET points = x'00' WHERE id = 1", "blobs", "points has 1 bytes"),
        (
            "UPDATE predictions SET prediction = x'0011' WHERE evaluation = 2 AND face = 1",
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
        "SELECT rootpage FROM sqlite_master WHERE name = 'predictions_face'"
    ).fetchone()
    con.close()
    content[(page - 1) * 4096 : (page - 1) * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)
    reader = open_reader(path)
    found = integrity.faults(reader)
    reader.close()
    assert found
    assert {fault.check for fault in found} == {"integrity"}
