"""The science: landmarks, metrics, data, models, training; and `load`, which uses a trained model.

import drf
model = drf.load("cascade-forest-small")
faces = model(image)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from drf.inference.alignment import Aligner


def load(
    model: str | Path = "cascade-forest-small",
    *,
    db: str | Path | None = None,
    threads: int = 1,
) -> Aligner:
    """Return a trained model: a function from images to faces, see
    `drf.inference.alignment.Aligner`.

    model    name of a released model, an ONNX file that `drf export onnx` wrote, or the name or id
             of a run; torch is imported for a run alone
    db       store of the run; then model names a run, whatever else is called so. Default: the
             variable DRF_DB, or runs/drf.db where it is unset or empty. `~` is the home folder in
             all of these paths
    threads  processor threads of one call, in onnxruntime. OpenCV, which cuts the faces out, has
             threads of its own (cv2.setNumThreads), and so has torch, which computes a run
             (torch.set_num_threads)

        model = drf.load()
        faces = model(image)                              # finds the faces
        faces = model(image, boxes=[[x, y, w, h]])        # in given boxes
        faces[0].landmarks, faces[0].std, faces[0].score

    image: (H, W, 3) uint8 RGB. Raises NotFoundError for a name that nothing has and for a run that
    has no model, DataError for a file that is no model of drf, UsageError for one of a newer
    version, DrfError for a checkpoint of another run.
    """
    from drf import loading

    return loading.load(model, db=db, threads=threads)
