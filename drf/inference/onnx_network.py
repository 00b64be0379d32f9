"""A model as one ONNX file: what the file says of itself, and how it is run without torch.

The graph takes the crops as they are cut and normalises them itself:

    crops        (faces, S, S, 3) uint8 RGB            faces: any number, also 1
    landmarks    (faces, K, 2) float32 unit box        of the model's landmark subset
    covariances  (faces, K, 2, 2) float32 squared unit box; absent where the model predicts none

What else one needs to use it is a JSON document in the file's metadata, under the key "drf".
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from drf.data.boxes import GT_MARGIN
from drf.data.user_files import printable, read_bytes
from drf.errors import DataError, UsageError
from drf.landmarks.markup import ALL, Markup

# Set before it is imported: it would keep an identifier of the machine in the home folder, and
# report each start and model to its makers (microsoft/onnxruntime#27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

KEY = "drf"
FORMAT = 1
"""Number of the form of the description; a reader refuses a higher one."""

LARGEST_ERROR = 0.05
"""Mean error that a model expects, as a share of the box's side, above which a detection is no
face: where nothing is known of the model. What real faces have is near 0.02."""

_MARGIN = 1.2
"""Largest expected error of a face over the usual one. Of 352 faces of 300-W, five cascade forests
expect at most 1.18 times the usual error, and at least 1.16 times for the squares beside them."""


def largest_error(usual: float | None) -> float:
    """Return the expected error above which a detection is no face, of a model whose expected
    errors are usually below `usual` (`drf.models.base.Recalibration`)."""
    return LARGEST_ERROR if usual is None else _MARGIN * usual


CROPS, LANDMARKS, COVARIANCES = "crops", "landmarks", "covariances"
_MOST_BYTES = 512 * 2**20
_FURTHEST = 1e3  # of a landmark from the box, in its sides
_ELSEWHERE = b"\x0a\x08location"
"""How a tensor whose numbers lie in another file begins to name that file (`external_data` of
onnx.proto: a StringStringEntryProto with the key "location"). A file of drf contains none."""


@dataclass(frozen=True)
class Description:
    """What an ONNX file says of its model.

    name        of the run or of the released model
    input_size  S, side of the square crops, px
    landmarks   landmark subset of the markup that the model predicts
    box         protocol of the boxes that it was trained with, see docs/protocol.md
    family, run, version   where it comes from; the version is drf's
    largest_error  mean expected error, as a share of the box's side, above which a detection is no
                face for this model
    scores      evaluations as `db.boards.entries.entry` writes their scores, in percent
    card        what the user should know, as text
    """

    name: str
    input_size: int
    markup: Markup
    landmarks: str = ALL
    box: str = "gt"
    largest_error: float = LARGEST_ERROR
    family: str = ""
    run: str = ""
    version: str = ""
    scores: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    card: str = ""

    def as_json(self) -> str:
        """Return the document that goes into the file; `from_json` is the inverse."""
        size, k = self.input_size, len(self.markup.indices(self.landmarks))
        return json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "drf": self.version,
                "family": self.family,
                "run": self.run,
                "input": {
                    "name": CROPS,
                    "shape": ["faces", size, size, 3],
                    "values": "uint8 RGB, 0..255; the graph normalises them itself",
                    "size": size,
                },
                "outputs": {
                    LANDMARKS: f"(faces, {k}, 2), unit box: 0..1 over the crop, x right, y down",
                    COVARIANCES: f"(faces, {k}, 2, 2), squared unit box, of the error to expect",
                    "from unit box to pixels of the crop": "unit * size - 0.5, 0-based",
                },
                "box": {
                    "protocol": self.box,
                    "margin": GT_MARGIN,
                    "sentence": "The crop is a square around the centre of the landmarks' box; its"
                    f" side is the longer side of that box times {GT_MARGIN}.",
                },
                "largest_expected_error": self.largest_error,
                "landmarks": self.landmarks,
                "markup": self.markup.as_dict(),
                "scores": list(self.scores),
                "card": self.card,
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Description:
        """Read what `as_json` wrote. Raises ValueError for what is none of ours, UsageError for a
        document of a newer drf."""
        try:
            document = json.loads(text)
            if document["format"] > FORMAT:
                raise UsageError(
                    f"it was written by drf {document.get('drf')}, which is newer than this one:"
                    " install that version"
                )
            found = cls(
                name=str(document["name"]),
                input_size=int(document["input"]["size"]),
                markup=Markup.from_dict(document["markup"]),
                landmarks=str(document["landmarks"]),
                box=str(document["box"]["protocol"]),
                largest_error=float(document["largest_expected_error"]),
                family=str(document["family"]),
                run=str(document["run"]),
                version=str(document["drf"]),
                scores=tuple(document["scores"]),
                card=str(document["card"]),
            )
            found.markup.indices(found.landmarks)
        except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError(f"its description is incomplete ({error})") from None
        if not found.largest_error > 0:  # NaN is not
            raise ValueError(f"its largest expected error is {found.largest_error:g}")
        return found


class OnnxNetwork:
    """An ONNX file that `drf export onnx` wrote, run by onnxruntime on the CPU.

    threads: of onnxruntime for one call. Raises DataError for a file that cannot be read or is not
    ours, UsageError for one of a newer version.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        name, data = printable(path.name), read_bytes(path, _MOST_BYTES)
        if _ELSEWHERE in data:
            raise DataError(
                f"{name} keeps its weights in another file, which drf does not read: write the"
                " model with `drf export onnx`"
            )
        self._name = name
        self._session = session(data, name, threads)
        try:
            text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
            self._outputs = [node.name for node in self._session.get_outputs()]
            shape = [node.shape for node in self._session.get_inputs() if node.name == CROPS]
        except UnicodeDecodeError:
            raise DataError(f"{name} is damaged: a name in it is no UTF-8") from None
        if text is None:
            raise DataError(
                f"{name} is an ONNX model, but not one of drf: write it with `drf export onnx`"
            )
        try:
            self.description = Description.from_json(text)
        except (ValueError, UsageError) as error:
            kind = UsageError if isinstance(error, UsageError) else DataError
            raise kind(f"{name} cannot be used: {error}") from None
        self.input_size = self.description.input_size
        self.largest_error = self.description.largest_error
        self.markup, self.landmarks = self.description.markup, self.description.landmarks
        crop = [self.input_size, self.input_size, 3]
        if LANDMARKS not in self._outputs or [sides[1:] for sides in shape] != [crop]:
            raise self._damaged()

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (B, K, 2) landmarks in the unit box and (B, K, 2, 2) covariances or None, float32,
        of (B, S, S, 3) uint8 RGB crops. Raises DataError where the file cannot be run or computes
        something else than it describes."""
        try:
            outputs = self._session.run(None, {CROPS: crops})
        except Exception as error:  # onnxruntime's own classes have no common base but this
            raise DataError(f"{self._name} cannot be run here ({_reason(error)})") from None
        found = dict(zip(self._outputs, outputs, strict=True))
        landmarks, covariances = found[LANDMARKS], found.get(COVARIANCES)
        shape = (len(crops), len(self.markup.indices(self.landmarks)), 2)
        if (
            landmarks.shape != shape
            or not (np.abs(landmarks) < _FURTHEST).all()  # which no NaN is
            or (covariances is not None and covariances.shape != (*shape, 2))
        ):
            raise self._damaged()
        return landmarks, covariances

    def _damaged(self) -> DataError:
        return DataError(f"{self._name} is damaged: it does not compute what it describes")


def session(data: bytes, name: str, threads: int) -> Any:
    """Return an onnxruntime session of a file's bytes. Raises DataError where it is no model.

    From bytes and not from a path: such a model cannot make onnxruntime open other files.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors are raised, and then told once
    try:
        # Without the fallback: it tries the same once more, and prints that.
        return onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's own classes have no common base but this
        raise DataError(
            f"{name} is no ONNX model that can be run here ({_reason(error)})"
        ) from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
