"""What rows may contain: every fault is named by table, row and column, and told where it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from db import file
from db.connection import open_reader, open_to_check
from db.maintenance import contents, integrity
from drf.errors import StoreError, UsageError
from tests.faults.hostile_stores import ESCAPING, lawless, sound_store


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "drf.db"
    sound_store(path)
    return path.read_bytes()


Spoil = Callable[[str], list[str]]


@pytest.fixture
def spoil(sound: bytes, path: Path) -> Spoil:
    """Run a statement on a sound store without its rules; returns what is found."""

    def call(statement: str) -> list[str]:
        path.write_bytes(sound)
        with lawless(path) as con:
            assert con.execute(statement).rowcount > 0
        con, _ = open_to_check(path)
        with closing(con):
            return [f"{fault.subject} {fault.problem}" for fault in contents.faults(con)]

    return call


def test_a_sound_store_has_no_fault(sound: bytes, path: Path) -> None:
    path.write_bytes(sound)
    with closing(open_reader(path)) as con:
        assert list(contents.faults(con)) == []
        assert integrity.faults(con) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (f"UPDATE runs SET id = '{ESCAPING}' WHERE seed = 1", "id is not made of 32 hex digits"),
        ("UPDATE runs SET id = upper(id)", "id is not made of 32 hex digits"),
        ("UPDATE runs SET provenance = '{'", "provenance is not a JSON object"),
        ("UPDATE runs SET provenance = '[]'", "provenance is not a JSON object"),
        ("UPDATE runs SET provenance = '{\"device\": []}'", "provenance is not a JSON object"),
        ("UPDATE runs SET manifest = '{\"digest\": 3}'", "manifest is not a JSON object"),
        ("UPDATE runs SET pid = -1", "pid is not between 0 and"),
        ("UPDATE runs SET pid = 'x'", "pid is not an INTEGER"),
        ("UPDATE runs SET pid = NULL", "pid is missing"),
        ("UPDATE runs SET started_at = 'banana'", "started_at is no time"),
        ("UPDATE runs SET heartbeat_at = '2026-01-01T00:00:00'", "heartbeat_at is no time"),
        ("UPDATE runs SET state = 'done'", "state is no state of a run"),
        ("UPDATE runs SET progress = 7.0", "progress is not between 0 and 1"),
        ("UPDATE runs SET wall_s = 9e999", "wall_s is infinite"),
        ("UPDATE runs SET name = printf('%.*c', 1001, 'x')", "name has more than 1000 characters"),
        ("UPDATE runs SET name = CAST(x'ff41' AS TEXT)", "name is not text in UTF-8"),
        ("UPDATE runs SET host = 'a' || char(0)", "host is not text in UTF-8"),
        ("UPDATE run_config SET value = '\"\\ud800\"'", "value is not JSON"),
        ("UPDATE run_config SET value = printf('%.*c', 3000, '[')", "value is not JSON"),
        ("UPDATE markups SET definition = '{}'", "definition is not the definition"),
        ("UPDATE scores SET value = -9e999", "value is infinite"),
        ("UPDATE evaluations SET created_at = ''", "created_at is no time"),
        ("UPDATE evaluations SET checkpoint = '../x'", "checkpoint is not the name of a file"),
        ("UPDATE predictions SET prediction = 'text'", "prediction is not a BLOB"),
        (
            "UPDATE predictions SET prediction = CAST(zeroblob(540) || x'0000807f' AS BLOB)",
            "prediction contains an infinite coordinate",
        ),
        ("UPDATE faces SET to_picture = x'00'", "to_picture is not a map"),
        ("UPDATE faces SET to_picture = zeroblob(48)", "to_picture is not a map"),
        ("UPDATE error_vectors SET errors = x'00'", "errors contains an infinite error"),
        ("UPDATE leaves SET extent = '[0, 0, 0, 0]'", "extent is not an extent"),
        ("UPDATE leaves SET landmarks = '[-1]'", "landmarks is not a list of landmarks"),
        ("UPDATE leaves SET width = -7", "width is not between 0"),
        ("UPDATE leaves SET width = 8 WHERE number = 0", "distribution has not the size"),
        ("UPDATE leaves SET height = NULL WHERE number = 0", "distribution has not the size"),
        ("UPDATE faces SET crop = x'ffd8ffe0'", "crop is not a readable JPEG"),
        ("UPDATE faces SET crop = zeroblob(70000000) WHERE id = 1", "crop has more than"),
        ("UPDATE views SET link = '?view=best'", "link is no link of the app"),
        ("UPDATE views SET title = 'a' || char(27)", "title is no single line"),
        ("UPDATE views SET note = hex(zeroblob(200))", "note is no single line"),
        ("UPDATE notes SET text = ' '", "text is no note"),
        ("UPDATE notes SET text = hex(zeroblob(9000))", "text is no note"),
        ("UPDATE notes SET text = CAST(x'ff' AS TEXT)", "text is not text in UTF-8"),
        ("UPDATE notes SET created_at = 'today'", "created_at is no time"),
        ("UPDATE tags SET tag = 'two words'", "tag is no tag"),
        ("UPDATE deletions SET run = '../x'", "run is not made of 32 hex digits"),
        ("DELETE FROM meta", "meta revision is not there"),
        ("UPDATE meta SET value = 'x' WHERE key = 'revision'", "meta revision is not there"),
    ],
)
def test_what_no_drf_writes_is_found(spoil: Spoil, statement: str, told: str) -> None:
    found = spoil(statement)
    assert found
    assert all(told in one for one in found), found


def test_a_row_is_named_so_that_it_can_be_printed(spoil: Spoil) -> None:
    (found,) = spoil("UPDATE views SET name = char(27) || '[2J', link = ''")
    assert found == "views \\x1b[2J link is no link of the app"


def test_an_id_that_leads_elsewhere_is_refused_where_the_store_is_opened(
    spoil: Spoil, path: Path
) -> None:
    spoil(f"UPDATE runs SET id = '{ESCAPING}' WHERE seed = 1")
    with pytest.raises(StoreError, match="32 hex digits"):
        open_reader(path)


@pytest.mark.parametrize("odd", [ESCAPING, "", "..", "A" * 32, "0" * 31 + "\n", "0" * 33])
def test_no_path_is_made_of_what_is_no_id(odd: str) -> None:
    with pytest.raises(StoreError, match="32 hex digits"):
        file.run_folder(Path("runs/drf.db"), odd)


def test_a_failure_is_explained_by_what_the_store_contains(spoil: Spoil, path: Path) -> None:
    spoil("UPDATE runs SET provenance = '[1'")
    explained = integrity.explain(path)
    assert explained is not None
    assert "provenance is not a JSON object" in str(explained)


def test_a_failure_on_a_sound_store_is_ours(sound: bytes, path: Path) -> None:
    path.write_bytes(sound)
    assert integrity.explain(path) is None
    assert integrity.explain(path.with_name("none.db")) is None


def test_a_folder_that_is_a_link_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    link = tmp_path / ("0" * 32)
    link.symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="is a link to another place"):
        file.refuse_link(link)


def test_older_faults_are_still_faults(spoil: Spoil, path: Path) -> None:
    """Rows that no rule of a column names, but one of the table does."""
    spoil("UPDATE faces SET visibility = x'02' WHERE id = 1")
    with closing(sqlite3.connect(path)) as con:
        assert [fault.check for fault in integrity.faults(con)] == ["blobs"]
