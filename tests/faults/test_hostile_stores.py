"""A stranger's store: whatever it contains, every command and page ends with a sentence.

No traceback, nothing that hangs, nothing written or deleted outside the store's folder, no file
that grows, and none of what the stranger put into the schema runs.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import hostile_stores
from tests.faults.harness import Hangs, drf, first_seed, held_in, limited, number_of_faults
from tests.webapp.conftest import opened, texts
from webapp.ui import error_pages

RUN = "views/run.py"
PAGES: tuple[tuple[str | None, dict[str, str]], ...] = (
    (None, {}),
    (None, {"since": "1", "card": "hourglass", "from_view": "best"}),
    *(
        (RUN, {"run": "hourglass-wide", "run_tab": tab})
        for tab in ("Results", "Faces", "Training", "Leaves", "Configuration")
    ),
    *((f"views/{name}.py", {}) for name in ("images", "compare", "ablations", "live", "about")),
)
GROWS_BY = 4 * 2**20
"""More bytes than any command adds to a store of this size, its write-ahead log included."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "drf.db"
    hostile_stores.sound_store(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRF_DB", str(path))
        opened(RUN)  # finds out the numbers of the pages
    return path


@pytest.fixture
def home(tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with what must stay beside the folder of a store; what a page cannot explain fails.

    It is removed afterwards, so that the store explains no failure of another test.
    """

    def fail(error: Exception) -> None:
        raise error

    monkeypatch.setattr(error_pages, "show_unexpected", fail)
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "home"
    _fill(folder, sound)
    monkeypatch.setenv("DRF_DB", str(folder / "store/drf.db"))
    yield folder
    shutil.rmtree(folder)


def _fill(folder: Path, sound: Path) -> None:
    for place in ("precious_x", "store", "out"):
        (folder / place).mkdir(parents=True)
        (folder / place / "keep").write_text("mine")
    shutil.copy(sound, folder / "store/drf.db")


def commands(home: Path) -> list[tuple[object, ...]]:
    """Every command that reads a store; those that write to it come last."""
    first, second = "hourglass-wide", "mean-shape"
    return [
        ("leaderboard",),
        ("leaderboard", "--json"),
        ("runs", "list"),
        ("runs", "list", "--json"),
        ("runs", "show", first),
        ("runs", "show", second, "--json"),
        ("runs", "diff", first, second, "--all"),
        ("views", "list"),
        ("leaderboard", "--since", "1", "--methods"),
        ("db", "check", "--json"),
        ("db", "backup", home / "out/copy.db"),
        ("export", "--static", home / "out/site", "--run", "at work", "--run", first),
        ("export", "--bundle", home / "out/bundle.db"),
        ("views", "add", "second", "run?run=3f2a9c1e"),
        ("views", "remove", "best"),
        ("runs", "note", first, "text"),
        ("runs", "tag", first, "for-paper", "--remove"),
        ("db", "migrate"),
        ("runs", "delete", first, "--yes", "--checkpoints"),
        ("runs", "delete", hostile_stores.ESCAPING, "--yes", "--checkpoints"),
    ]


def try_on(home: Path, seed: int, *, number: int = 100, pages: int) -> None:
    """Make the store of a seed hostile, and run so many commands and pages on it."""
    store = home / "store/drf.db"
    done = hostile_stores.make_hostile(store, seed)
    chance = random.Random(seed)
    precious = held_in(home / "precious_x")
    beside = sorted(path.name for path in home.iterdir())
    size = _size(store)
    told = f"seed {seed}: {', '.join(done)}"
    for page, query in chance.sample(PAGES, pages):
        with limited():
            shown = opened(page, **query)
        assert not shown.exception, (told, page, shown.exception)
    asked = commands(home)
    for at in sorted(chance.sample(range(len(asked)), min(number, len(asked)))):
        words = asked[at]
        try:
            answer = drf(*words)
        except BaseException as error:
            error.add_note(f"{told}: drf {' '.join(map(str, words))}")
            raise
        assert "Traceback" not in answer.err, (told, words)
        if answer.code:
            assert answer.err.strip(), (told, words)
        assert _size(store) < size + GROWS_BY, (told, words)
        assert held_in(home / "precious_x") == precious, (told, words)
        assert sorted(path.name for path in home.iterdir()) == beside, (told, words)
    assert (home / "store/keep").read_text() == "mine"
    outside = {path.name for path in (home / "out").iterdir()}
    assert outside <= {"keep", "copy.db", "site", "bundle.db"}, told


def _size(store: Path) -> int:
    return sum(path.stat().st_size for path in store.parent.glob("drf.db*"))


def test_the_sound_store_is_sound(home: Path) -> None:
    """So that what the others find is what was done to it."""
    answers = [drf(*words) for words in commands(home)[:-1]]
    assert [answer.code for answer in answers] == [0] * len(answers)


SHORT = range(0, len(hostile_stores.MUTATIONS), 3)
"""A third of the mutations, each once; the long part makes all of them several times."""


@pytest.mark.parametrize("seed", SHORT)
def test_a_hostile_store_ends_with_a_sentence(home: Path, seed: int) -> None:
    try_on(home, seed, number=5, pages=seed % 2)


@pytest.mark.slow
def test_many_hostile_stores_end_with_a_sentence(home: Path, sound: Path) -> None:
    """DRF_FAULTS stores (300), from seed DRF_FAULT_SEED (0) on; each with eight commands and a page
    that follow from its seed. With `-s` it says how far it is."""
    failed = []
    seeds = range(first_seed(), first_seed() + number_of_faults(300))
    for seed in seeds:
        shutil.rmtree(home)
        _fill(home, sound)
        try:
            try_on(home, seed, number=8, pages=1)
        except (Exception, Hangs) as error:
            failed.append(f"seed {seed}: {error!r} {getattr(error, '__notes__', '')}")
        if (seed + 1) % 10 == 0:
            print(f"up to seed {seed} of {seeds[-1]}: {len(failed)} failed", flush=True)
    assert not failed, "\n".join(failed)


def test_a_page_says_what_is_wrong(home: Path) -> None:
    with hostile_stores.lawless(home / "store/drf.db") as con:
        con.execute("UPDATE runs SET heartbeat_at = 'banana', state = 'running'")
    said = texts(opened())
    assert "This store cannot be shown" in said
    assert "heartbeat\\_at is no time" in said
