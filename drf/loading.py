"""A trained model by its name: one that is released with drf, an ONNX file, or a run of a store."""

from __future__ import annotations

import contextlib
from pathlib import Path

from drf.config import nearest
from drf.errors import NotFoundError
from drf.files import user_path
from drf.inference.alignment import Aligner
from drf.inference.onnx_network import OnnxNetwork, largest_error

FOLDER = Path(__file__).parent / "released"
DEFAULT = "cascade-forest-small"


def released() -> list[str]:
    """Return the names of the models that are released with drf."""
    return sorted(path.stem for path in FOLDER.glob("*.onnx"))


def load(model: str | Path = DEFAULT, *, db: str | Path | None = None, threads: int = 1) -> Aligner:
    """Return a trained model as a function from images to faces; see `drf.load`."""
    if db is None and Path(model).suffix.lower() == ".onnx":
        return Aligner(OnnxNetwork(user_path(model), threads=threads), threads=threads)
    if db is None and str(model) in released():
        network = OnnxNetwork(FOLDER / f"{model}.onnx", threads=threads)
        return Aligner(network, threads=threads)
    return _of_run(str(model), None if db is None else user_path(db), threads)


def _of_run(text: str, db: Path | None, threads: int) -> Aligner:
    """Return the best checkpoint of a run, in torch. Raises NotFoundError where there is none,
    DrfError for one that is damaged or of another run."""
    from db.file import run_folder, usual_path

    store = db or usual_path()
    if db is None and not store.exists():
        raise NotFoundError(
            f"there is no released model {text!r}{nearest(text, released())}, and no store {store}"
            " that could have a run of that name"
        )
    import torch

    from db import reads, status
    from db.connection import open_reader
    from drf import checkpoint
    from drf.inference.prediction import Predictor, PredictorNetwork
    from drf.models.fuse_batchnorm import fuse_batchnorm

    with contextlib.closing(open_reader(store)) as reader:
        run = reads.run(reader, reads.find_run(reader, text))
    status.refuse_without_model(run)
    saved = checkpoint.load(run_folder(store, run["id"]) / checkpoint.BEST)
    saved.require_run(run["id"], run["family"], {key: value for key, value, _ in run["config"]})
    trained, _ = checkpoint.rebuild(saved)
    predictor = Predictor(fuse_batchnorm(trained), torch.device("cpu"), "fp32")
    largest = largest_error(trained.recalibrations.single.usual)
    return Aligner(PredictorNetwork(predictor, largest), threads=threads)
