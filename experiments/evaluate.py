"""From a stored run to a stored evaluation."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

from db import reads
from db.boards.entries import entry_of
from db.connection import open_reader, open_store
from db.file import run_folder
from db.recording.evaluations import record_evaluation
from db.recording.record import RECORD, bring_evaluations, open_record, where_possible
from drf import checkpoint, hardware, presets
from drf.config import RunConfig, check_key
from drf.inference import prediction
from drf.inference.prediction import Predictor
from drf.models.base import InputSpec
from drf.models.fuse_batchnorm import fuse_batchnorm
from drf.scoring.results import MACHINE
from experiments.paths import Paths, checkpoint_of, dataset_of, load_packs, origin
from experiments.progress import say


@dataclass(frozen=True)
class EvaluationSpec:
    """What to evaluate on, and how. None: as the run or its track says.

    flip_test: None for with it where the model's landmarks are their own mirror image
    dataset: another one than the run was trained on, with its landmarks or some that correspond
    """

    subset: str | None = None
    box: str | None = None
    flip_test: bool | None = None
    device: str = "auto"
    precision: str = "auto"
    dataset: str | None = None

    def check(self) -> None:
        """Raise UsageError for what no run can be evaluated with, on this machine."""
        device = hardware.choose_device(self.device)
        hardware.choose_precision(self.precision, device)
        if self.box is not None:
            check_key("data.box", self.box, "option")


def evaluate_run(text: str, target: EvaluationSpec, paths: Paths) -> dict[str, Any]:
    """Evaluate a run's best checkpoint, store the result and return its leaderboard entry, with
    what its ellipses hold by "ellipses" (`db.analysis.ellipses.document`).

    Raises NotFoundError for a run that matches none or several or has no checkpoint yet,
    UsageError as `EvaluationSpec.check` and for a flip test of landmarks that are not their own
    mirror image, DataError for a dataset whose landmarks the model cannot
    be judged on (`prediction.map_to`).
    """
    target.check()
    with contextlib.closing(open_reader(paths.db)) as reader:
        run = reads.find_run(reader, text)
        stored = reads.run(reader, run)
    folder = run_folder(paths.db, run)
    device = hardware.choose_device(target.device)
    saved = checkpoint_of(stored, folder / checkpoint.BEST)
    model, config = checkpoint.rebuild(saved, device)
    flip_test = _flip_test(target.flip_test, model.spec)
    track = stored["track"]
    if target.dataset in (None, config.data.dataset):
        paths = origin(folder, paths)
    else:
        config = replace(config, data=replace(config.data, dataset=target.dataset))
        track = None
        dataset = dataset_of(config, paths)
        prediction.map_to(model.spec, dataset.markup, dataset.name)  # before it is packed
    subset = target.subset or _default_subset(config, track, paths)
    (pack,) = load_packs(config, [subset], paths, box=target.box)
    precision = hardware.choose_precision(target.precision, device)
    predictor = Predictor(fuse_batchnorm(model), device, precision, flip_test)
    result = prediction.evaluate(predictor, pack)
    measured_on = {MACHINE: hardware.describe(device)}
    result = replace(result, manifest=result.manifest | measured_on)
    crops = list(prediction.face_crops(pack))
    with contextlib.closing(open_store(paths.db)) as store:
        identity = record_evaluation(store, run, result, crops, checkpoint=checkpoint.BEST)
        if (folder / RECORD).is_file():  # runs of earlier versions have none
            with (
                where_possible(folder, say),
                contextlib.closing(open_record(folder, store, run)) as record,
            ):
                bring_evaluations(store.conn, record, run, pictures=False)
    with contextlib.closing(open_reader(paths.db)) as reader:
        return entry_of(reader, identity, result)


def _flip_test(wanted: bool | None, spec: InputSpec) -> bool:
    """Return whether to use the flip test. Where nobody asked for one that is impossible, it is
    said that there is none. Raises UsageError where it was asked for."""
    if wanted is None and not spec.markup.is_symmetric(spec.landmarks):
        say(
            f"The landmark subset {spec.landmarks!r} of {spec.markup.name} is not its own mirror"
            " image: it is evaluated without the flip test."
        )
        return False
    if wanted:
        spec.markup.flip_permutation(spec.landmarks)
    return wanted is not False


def _default_subset(config: RunConfig, track: str | None, paths: Paths) -> str:
    if track is not None:
        return presets.track(track).subset
    return dataset_of(config, paths).default_test_subset()
