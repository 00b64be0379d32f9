"""Every page shows a method whose predictions were imported, without what is not known of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from db import status
from db.connection import open_store
from db.recording.evaluations import record_evaluation
from db.recording.runs import end_run, start_run
from tests.db import examples
from tests.webapp.conftest import board_table, opened, texts


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of four runs and an imported method, which is the best; its run id."""
    path = tmp_path / "drf.db"
    examples.copied(examples.filled_store, path)
    db = open_store(path)
    unknown = {"preset": None, "track": None, "epochs": None, "params": 0, "macs": 0}
    config = {"external.name": "theirs"}
    new = examples.new_run(
        name="theirs",
        family=status.EXTERNAL,
        config=config,
        sources=dict.fromkeys(config, "option"),
        provenance={"drf": "0.2.0", "paper": "https://example.org/p", "note": None},
        manifest={},
        **unknown,
    )
    run = start_run(db, new)
    end_run(db, run, "finished", wall_s=None, faces_per_s=None, kept_epoch=None, kept_val_nme=None)
    result = examples.evaluation(
        error_px=0.5, seed=3, flip_test=False, ms_per_face=status.NOT_MEASURED
    )
    record_evaluation(db, run, result, examples.crops(result))
    db.close()
    monkeypatch.setenv("DRF_DB", str(path))
    return run


def test_the_board_marks_it(imported: str) -> None:
    app = opened(hide="false")
    assert not app.exception
    assert board_table(app)["name"].tolist()[0] == "theirs (external)"
    assert "External methods are predictions that were imported: theirs" in texts(app).replace(
        "\\", ""
    )


def test_a_model_of_another_dataset_is_marked_on_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "drf.db"
    examples.filled_store(path)
    db = open_store(path)
    with db.conn:
        db.execute(
            "UPDATE runs SET dataset = 'wflw', trained_on = 'wflw',"
            " manifest = json_set(manifest, '$.digest', 'w') WHERE name = 'hourglass-wide'"
        )
    db.close()
    monkeypatch.setenv("DRF_DB", str(path))
    name = "hourglass-wide (trained on wflw)"
    app = opened(hide="false")
    assert name in board_table(app)["name"].tolist()
    app = opened("views/compare.py")
    assert not app.exception
    assert name in str([of.options for of in app.multiselect])


def test_its_run_page_has_no_cost(imported: str) -> None:
    for section in ("Results", "Faces", "Training", "Configuration"):
        app = opened("views/run.py", run=imported[:8], tab=section)
        assert not app.exception
        said = texts(app)
        assert "external" in said
        for fact in ("Parameters", "MACs", "Training time", "Speed", "Device"):
            assert f"<dt>{fact}</dt><dd>–</dd>" in said


@pytest.mark.parametrize("page", ["compare", "images", "ablations", "live", "about"])
def test_every_other_page_opens(imported: str, page: str) -> None:
    app = opened(f"views/{page}.py")
    assert not app.exception
    if page == "compare":
        assert "theirs (external)" in str([of.options for of in app.multiselect])
