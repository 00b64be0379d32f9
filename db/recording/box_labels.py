"""What the board calls the boxes that faces were cropped by.

Boxes of protocol `file` are as many protocols as there are files: a run on the boxes of one
detector does not compare with a run on those of another. So what stands in `evaluations.box` is
the protocol (gt, gt_jitter), and for a file `file-NAME-DIGEST`: the name that the user gave it and
the first digits of its SHA-256. The digest is what tells files apart; a file keeps the first name
that a store knows it by. Evaluations of an earlier drf whose file is not known keep `file`.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping

from db.faces import BOX_DIGITS, BOX_FILE, BOX_LABEL, box_label_here

FILE = BOX_FILE
DEFAULT_NAME = "boxes"

_LONGEST_NAME = 40


def label(con: sqlite3.Connection, box: str, manifest: Mapping[str, object]) -> str:
    """Return what a store calls the boxes of an evaluation.

    box: the protocol; manifest: of the faces, with `box_file` (digest) and `box_name` where there
    was a file.
    """
    digest = manifest.get("box_file")
    if box != FILE or not digest:
        return box
    digits = str(digest)[:BOX_DIGITS]
    return box_label_here(con, f"{FILE}-{_plain(manifest.get('box_name'))}-{digits}")


def protocol(box: str) -> str:
    """Return the protocol of a label: gt, gt_jitter or file."""
    return FILE if BOX_LABEL.fullmatch(box) else box


def title(box: str) -> str:
    """Return a label for people: "gt", "file mtcnn (1a2b3c4d)", "file (unknown file)"."""
    if box == FILE:
        return f"{FILE} (unknown file)"
    found = BOX_LABEL.fullmatch(box)
    return f"{FILE} {found[1]} ({found[2]})" if found else box


def meant(wanted: str, labels: Iterable[str]) -> str | None:
    """Return the label that a link means which names none of these: the first file by `file`, as
    links of earlier versions have it, and a file by its digest under whatever name."""
    digest = found[2] if (found := BOX_LABEL.fullmatch(wanted)) else None
    for known in labels:
        theirs = BOX_LABEL.fullmatch(known)
        if theirs and (wanted == FILE or theirs[2] == digest):
            return known
    return None


def _plain(name: object) -> str:
    """Return a name that can stand in a link between slashes."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", str(name or "")).strip("._-")
    return kept[:_LONGEST_NAME] or DEFAULT_NAME
