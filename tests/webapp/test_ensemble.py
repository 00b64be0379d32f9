"""Every page shows the mean of several runs' predictions, with what it cost and learned from."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.connection import open_store
from experiments.ensemble import EnsembleSpec, make_ensemble
from tests.db import examples
from tests.webapp.conftest import board_table, opened, texts


@pytest.fixture
def ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of four runs, one of which started from published weights, and the mean of two of
    them; its run id."""
    path = tmp_path / "drf.db"
    _, first, _, wide = examples.copied(examples.filled_store, path)
    store = open_store(path)
    with store.conn:
        store.execute("UPDATE runs SET trained_on = 'synthetic, imagenet' WHERE id = ?", [wide])
    store.close()
    entry = make_ensemble(EnsembleSpec((first, wide), "mean", {}), path)
    monkeypatch.setenv("DRF_DB", str(path))
    return str(entry["run"])


def test_the_board_marks_it_and_says_what_it_is(ensemble: str) -> None:
    app = opened(hide="false")
    assert not app.exception
    names = board_table(app)["name"].tolist()
    assert "mean (ensemble, trained on synthetic, imagenet)" in names
    said = texts(app).replace("\\", "")
    assert "Ensembles are means of the predictions of several runs: mean" in said


def test_it_is_on_no_track(ensemble: str) -> None:
    names = board_table(opened(hide="false", lb_text="ten-minutes"))["name"].tolist()
    assert "hourglass-wide" in names
    assert not [name for name in names if name.startswith("mean (")]


def test_its_run_page_has_the_sums_and_no_training(ensemble: str) -> None:
    for section in ("Results", "Faces", "Training", "Configuration"):
        app = opened("views/run.py", run=ensemble[:8], tab=section)
        assert not app.exception
        said = texts(app)
        assert "ensemble" in said
        assert "<dt>Parameters</dt><dd>6.23 M</dd>" in said
        assert "<dt>Trained on</dt><dd>synthetic, imagenet</dd>" in said
        assert "<dt>Training time</dt><dd>2 min 0 s</dd>" in said
        for fact in ("Track", "Preset", "Kept epoch", "Speed"):
            assert f"<dt>{fact}</dt><dd>–</dd>" in said


def test_it_is_repeated_by_its_own_command_alone(ensemble: str) -> None:
    app = opened("views/run.py", run=ensemble[:8], tab="Configuration")
    assert "drf eval" not in "\n".join(str(one.value) for one in app.code)


@pytest.mark.parametrize("page", ["compare", "images", "ablations", "live", "about"])
def test_every_other_page_opens(ensemble: str, page: str) -> None:
    app = opened(f"views/{page}.py")
    assert not app.exception
    if page == "compare":
        assert "mean (ensemble, trained on" in str([of.options for of in app.multiselect])
