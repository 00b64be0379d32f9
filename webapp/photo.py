"""Content of the page that tries a photo: what a server takes, and what is said of a face."""

from __future__ import annotations

import json
import os

from starlette.formparsers import MultiPartParser

from drf.inference import photos
from drf.inference.alignment import AlignedFace
from drf.inference.photos import Located
from drf.landmarks.markup import Markup
from webapp.ui.text import percent, readable

SWITCH = "DRF_PHOTOS"
"""Environment variable of the server; the page is switched off by any value but these."""
_ON = ("", "on", "1", "yes", "true")

MOST_MEGABYTES = 20
"""Of an uploaded photo; `maxUploadSize` of .streamlit/config.toml is the same number. Its
pixels are bounded by `drf.data.picture_files`, as those of every picture."""

KINDS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif")


def switched_on() -> bool:
    """Return whether this server takes photos of its visitors."""
    return os.environ.get(SWITCH, "").strip().lower() in _ON


def keep_uploads_in_memory() -> None:
    """Hold uploads in memory while they arrive: by itself Starlette, which Streamlit is served by,
    writes those of more than 1 MB to an unnamed file of the system's folder for such files."""
    MultiPartParser.spool_max_size = 2 * MOST_MEGABYTES * 2**20


def doubt(face: AlignedFace, markup: Markup) -> str:
    """Return what error the model expects, a sentence; empty where it does not say."""
    share = face.expected_error
    if share != share:
        return ""
    said = (
        f"Expected error: {share * face.box[2]:.1f} px, which is {percent(100 * share)} of the side"
        " of the face's box"
    )
    by_group = {
        readable(name): ((face.std[list(landmarks)] ** 2).sum(axis=1) ** 0.5).mean()
        for name, landmarks in markup.groups.items()
    }
    known = {name: value for name, value in by_group.items() if value == value}
    if len(known) < 2:
        return f"{said}."
    least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    return (
        f"{said}; smallest at the {least} ({known[least]:.1f} px), largest at the {most}"
        f" ({known[most]:.1f} px)."
    )


def as_json(located: Located, model: str, markup: Markup) -> str:
    """Return what `drf predict --json` prints of the photo."""
    document = {"model": model, "markup": markup.name, "photos": [photos.as_document(located)]}
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_csv(located: Located, markup: Markup) -> str:
    """Return what `drf predict --csv` prints of the photo."""
    return ",".join(photos.COLUMNS) + "\n" + photos.csv_lines(located, markup)
