"""What the pages read, cached by the version of the store and by ids.

Tables of all runs are kept as they are and given out as lazy copies, a change to which stays the
caller's own: to unpickle 2,000 rows at every click, as `st.cache_data` does, takes longer than what
is done with them.

A run of a page reads through one read-only connection and closes it at its end (`one_run`):
Streamlit runs sessions in threads, and a connection belongs to one. To open one for every load took
longer than many of the loads. `meta.revision` counts every write, so what was cached under it stays
right, but for two things that no write tells: a run that dies, and another file put in place of
this one. Those are in the fingerprint.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from db import connection, method_ids, reads
from db import faces as stored_faces
from db import predictions as stored_predictions
from db.analysis import configs, paired
from db.analysis import ellipses as stored_ellipses
from db.analysis.paired import Paired
from db.boards import additions as additions_since
from db.boards import changes
from db.file import usual_path
from db.recording import gallery, latencies, saved_links
from db.recording import sweeps as stored_sweeps
from db.recording import words as stored_words
from db.recording.latencies import Latency
from db.recording.saved_links import View
from db.recording.words import Words
from db.transactions import as_drf_error
from drf.landmarks.markup import Markup
from drf.pictures import LeafPicture
from drf.scoring.ellipses import RegionEllipses
from webapp.scores import boards_in_order

_LIMIT_S = 30.0  # what a page reads takes tenths of a second
# Tables here are small and looked at value by value, which takes pandas a tenth of the time where
# strings are Python's own and not Arrow's.
pd.set_option("mode.string_storage", "python")


@dataclass(frozen=True)
class StoreVersion:
    """The store in one state: what caches are keyed by.

    path         as the user gave it
    revision     of the store; every write increments it
    fingerprint  of the file (inode, time of the last change) and of the states of running runs:
                 what changes without a write
    """

    path: str
    revision: int
    fingerprint: str = ""


def path() -> str:
    """Return the path that DRF_DB names, or the default, runs/drf.db. Raises UsageError."""
    return str(usual_path())


def shown_path() -> str:
    """Return what visitors may know of the path: not the folders of the machine."""
    return Path(path()).name if Path(path()).is_absolute() else path()


def current() -> StoreVersion:
    """Return the store as it is now.

    Raises NotFoundError if there is none and StoreError if it cannot be used.
    """
    of_run = _of_this_run()
    if of_run is not None and of_run.version is not None:
        return of_run.version
    with _reader(path()) as reader:
        file = Path(path()).stat()  # one made anew often gets the inode of the one that was deleted
        fingerprint = file.st_ino, file.st_mtime_ns, reads.running_runs(reader)
        version = StoreVersion(path(), reads.revision(reader), repr(fingerprint))
    if of_run is not None:
        of_run.version = version
    return version


@contextmanager
def one_run() -> Iterator[None]:
    """Around a run of a page, or of a fragment alone: all of it reads one version of the store
    through one connection."""
    if _of_this_run() is not None:  # a fragment within its page
        yield
        return
    _THREAD.run = of_run = _Run()
    try:
        yield
    finally:
        _THREAD.run = None
        if of_run.reader is not None:
            of_run.reader.close()


@dataclass
class _Run:
    version: StoreVersion | None = None
    reader: sqlite3.Connection | None = None


_THREAD = threading.local()


def _of_this_run() -> _Run | None:
    return getattr(_THREAD, "run", None)


def view(store: StoreVersion, name: str) -> View:
    """Return a named view. Raises NotFoundError. Not cached: it is asked for once a link."""
    with _reader(store.path) as reader:
        return saved_links.find_view(reader, name)


def views(store: StoreVersion) -> list[View]:
    """Return all named views. Not cached: naming a link does not count the revision up."""
    with _reader(store.path) as reader:
        return saved_links.views(reader)


@st.cache_resource(max_entries=4, show_spinner=False)
def words(store: StoreVersion) -> dict[str, Words]:
    """Return `db.recording.words.of_runs`: run id -> what people say of it. Change nothing in
    it."""
    with _reader(store.path) as reader:
        return stored_words.of_runs(reader)


def latencies_of(store: StoreVersion, run_id: str) -> list[Latency]:
    """Return what was measured of a run, the newest first. Not cached: it is a row or two."""
    with _reader(store.path) as reader:
        return list(latencies.of_runs(reader, run_id).get(run_id, ()))


def revision_of(store: StoreVersion, text: str) -> int:
    """Return `db.boards.changes.revision_of`. Raises UsageError."""
    with _reader(store.path) as reader:
        return changes.revision_of(reader, text)


def deletions(
    store: StoreVersion, since: int, board: Mapping[str, str], rows: pd.DataFrame
) -> list[changes.Deletion]:
    """Return `db.boards.changes.deletions` of a board. Not cached: only links with a day ask."""
    with _reader(store.path) as reader:
        return changes.deletions(reader, since, board, rows)


def leaderboard(
    store: StoreVersion,
    *,
    dataset: str,
    subset: str,
    landmarks: str,
    box: str,
    at_revision: int | None = None,
) -> pd.DataFrame:
    """Return `reads.leaderboard` of one board, scores in percent, with `latencies.on_boards`; as it
    was at a revision."""
    return _leaderboard(store, dataset, subset, landmarks, box, at_revision).copy(deep=False)


@st.cache_resource(max_entries=64, show_spinner=False)
def _leaderboard(
    store: StoreVersion,
    dataset: str,
    subset: str,
    landmarks: str,
    box: str,
    at_revision: int | None,
) -> pd.DataFrame:
    with _reader(store.path) as reader:
        entries = reads.leaderboard(
            reader,
            dataset=dataset,
            subset=subset,
            landmarks=landmarks,
            box=box,
            at_revision=at_revision,
        )
        return latencies.on_boards(reader, entries)


def boards(store: StoreVersion, at_revision: int | None = None) -> pd.DataFrame:
    """Return `reads.board_filters` as `boards_in_order`, by choice as it was at a revision."""
    return _boards(store, at_revision).copy(deep=False)


@st.cache_resource(max_entries=4, show_spinner=False)
def _boards(store: StoreVersion, at_revision: int | None) -> pd.DataFrame:
    with _reader(store.path) as reader:
        return boards_in_order(reads.board_filters(reader, at_revision=at_revision))


def additions(
    store: StoreVersion, revision: int, board: Mapping[str, str]
) -> list[additions_since.Addition]:
    """Return `db.boards.additions.since` of a board. Not cached: only links to earlier boards
    ask."""
    with _reader(store.path) as reader:
        return additions_since.since(reader, revision, board)


def runs(store: StoreVersion) -> pd.DataFrame:
    """Return `reads.runs`, newest first."""
    return _runs(store).copy(deep=False)


@st.cache_resource(max_entries=4, show_spinner=False)
def _runs(store: StoreVersion) -> pd.DataFrame:
    with _reader(store.path) as reader:
        return reads.runs(reader)


def method_of_runs(store: StoreVersion) -> pd.Series:
    """Return `db.method_ids.method_of_runs`: run id -> method; runs of one differ only in seed."""
    return _method_of_runs(store).copy(deep=False)


@st.cache_resource(max_entries=4, show_spinner=False)
def _method_of_runs(store: StoreVersion) -> pd.Series:
    with _reader(store.path) as reader:
        return method_ids.method_of_runs(reader)


def markups(store: StoreVersion) -> list[Markup]:
    """Return the markups that runs were trained on, by name."""
    return list(_markups(store))


@st.cache_resource(max_entries=4, show_spinner=False)
def _markups(store: StoreVersion) -> list[Markup]:
    names = sorted(set(runs(store)["markup"]))
    with _reader(store.path) as reader:
        return [reads.markup(reader, name) for name in names]


@st.cache_data(max_entries=8, show_spinner=False)
def settings_of(store: StoreVersion, runs: Sequence[str]) -> pd.DataFrame:
    """Return `db.analysis.configs.settings` of runs (full ids)."""
    with _reader(store.path) as reader:
        return configs.settings(reader, runs)


def sweeps(store: StoreVersion) -> pd.DataFrame:
    """Return `db.recording.sweeps.sweeps`. Not cached: it is a few rows."""
    with _reader(store.path) as reader:
        return stored_sweeps.sweeps(reader)


def jobs_of_sweep(store: StoreVersion, sweep: str) -> pd.DataFrame:
    """Return `db.recording.sweeps.jobs`. Not cached: whether they run is asked anew."""
    with _reader(store.path) as reader:
        return stored_sweeps.jobs(reader, sweep)


def circumstances(store: StoreVersion, runs: Sequence[str]) -> pd.DataFrame:
    """Return `db.analysis.configs.provenance` of runs (full ids). Not cached: it is a few rows."""
    with _reader(store.path) as reader:
        return configs.provenance(reader, runs)


def find_run(store: StoreVersion, text: str) -> str:
    """Return the full id. Raises NotFoundError for none or several."""
    with _reader(store.path) as reader:
        return reads.find_run(reader, text)


@st.cache_data(max_entries=64, show_spinner=False)
def run(store: StoreVersion, run_id: str) -> dict[str, Any]:
    """Return `reads.run`. Raises NotFoundError."""
    with _reader(store.path) as reader:
        return reads.run(reader, run_id)


@st.cache_data(max_entries=64, show_spinner=False)
def curves(store: StoreVersion, run_id: str) -> pd.DataFrame:
    """Return (epoch, metric, value)."""
    with _reader(store.path) as reader:
        return reads.curves(reader, run_id)


@st.cache_data(max_entries=64, show_spinner=False)
def evaluations(store: StoreVersion, run_id: str) -> pd.DataFrame:
    """Return `reads.evaluations`, newest first."""
    with _reader(store.path) as reader:
        return reads.evaluations(reader, run_id)


def image_errors(store: StoreVersion, run_id: str, evaluation: int) -> pd.DataFrame:
    """Return face, name and the error under every normaliser (fractions) of one of a run's
    evaluations."""
    return _image_errors(store.path, run_id, evaluation, store.revision)


def paired_errors(store: StoreVersion, evaluations: Sequence[tuple[str, int]], norm: str) -> Paired:
    """Return `db.analysis.paired.errors` of evaluations under a normaliser, on the faces that all
    of them have an error of. Each is named by its run's full id and its own.

    Raises NotFoundError for one that is not there.
    """
    chosen = [(run, int(number)) for run, number in evaluations]
    numbers = [number for _, number in chosen]
    return _paired_errors(store.path, store.revision, repr((chosen, norm)), numbers, norm)


def predictions(path: str, evaluation: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `db.predictions.predictions`: ids, ground truth, predictions of every face. Not
    cached."""
    with _reader(path) as reader:
        return stored_predictions.predictions(reader, evaluation)


def visibilities(path: str, faces: np.ndarray) -> np.ndarray | None:
    """Return `db.predictions.visibilities` of faces (ids). Not cached."""
    with _reader(path) as reader:
        return stored_predictions.visibilities(reader, faces.tolist())


def covariances(path: str, evaluation: int) -> np.ndarray | None:
    """Return `db.predictions.covariances_of_evaluation`, in the order of `predictions`. Not
    cached."""
    with _reader(path) as reader:
        return stored_predictions.covariances_of_evaluation(reader, evaluation)


@st.cache_data(max_entries=64, show_spinner=False)
def ellipses(
    path: str, run_id: str, evaluation: int, markup_name: str, landmarks: str
) -> dict[str, RegionEllipses] | None:
    """Return `db.analysis.ellipses.of_evaluation` of one of a run's evaluations."""
    # An evaluation never changes; run_id guards against a file that was replaced.
    with _reader(path) as reader:
        of = reads.markup(reader, markup_name)
        return stored_ellipses.of_evaluation(reader, evaluation, of, landmarks)


@st.cache_resource(max_entries=64, show_spinner=False)
def markup(path: str, name: str) -> Markup:
    """Return a markup of the store by its name. A markup never changes."""
    with _reader(path) as reader:
        return reads.markup(reader, name)


def method_today(store: StoreVersion, method: str) -> str | None:
    """Return today's id of a method that an older drf gave another one, None if unknown."""
    with _reader(store.path) as reader:
        return method_ids.today(reader, method)


@dataclass(frozen=True)
class StoredFace:
    """A face with its prediction. Points are (K, 2) picture px; see `drf.pictures.FaceCrop`.

    covariances: of the error that the model predicts, (K, 2, 2) squared picture px, or None
    visibility: (K,) of the landmarks, see `drf.landmarks.markup`; None where all are visible
    """

    markup: Markup
    ground_truth: np.ndarray
    prediction: np.ndarray
    crop: tuple[bytes, np.ndarray] | None
    covariances: np.ndarray | None = None
    visibility: np.ndarray | None = None


def faces(path: str, wanted: Iterable[tuple[int, int]]) -> list[StoredFace]:
    """Return faces as evaluations have them, in the order asked for. Not cached: callers cache what
    they make of them. wanted: (evaluation, face) each."""
    wanted = list(wanted)
    with _reader(path) as reader:
        ids = {face for _, face in wanted}  # runs that are compared share their faces
        known = {face: stored_faces.read_face(reader, face) for face in ids}
        crops = {face: stored_faces.crop(reader, face) for face in ids}
        return [
            StoredFace(
                known[face].markup,
                *stored_predictions.prediction(reader, evaluation, face),
                crops[face],
                stored_predictions.covariances_of_face(reader, evaluation, face),
                known[face].visibility,
            )
            for evaluation, face in wanted
        ]


@st.cache_data(max_entries=64, show_spinner=False)
def epochs(store: StoreVersion, run_id: str) -> list[int]:
    """Return the epochs whose predictions of the watched faces are kept, ascending."""
    with _reader(store.path) as reader:
        return gallery.epochs(reader, run_id)


def epoch_faces(path: str, run_id: str, epoch: int) -> list[tuple[str, StoredFace]]:
    """Return names and faces as a run predicted them in an epoch. Not cached, see `faces`."""
    with _reader(path) as reader:
        return [
            (
                face.name,
                StoredFace(
                    face.markup,
                    face.ground_truth,
                    face.prediction,
                    stored_faces.crop(reader, face.face),
                    visibility=face.visibility,
                ),
            )
            for face in gallery.predictions(reader, run_id, epoch)
        ]


@st.cache_data(max_entries=8, show_spinner=False)
def leaves(store: StoreVersion, run_id: str) -> tuple[list[LeafPicture], np.ndarray | None]:
    """Return `db.recording.gallery.leaves`."""
    with _reader(store.path) as reader:
        return gallery.leaves(reader, run_id)


@dataclass(frozen=True)
class LeafFace:
    """A face that leaves attract. ground_truth: (K, 2) picture px; crop as `db.faces.crop`."""

    name: str
    markup: Markup
    ground_truth: np.ndarray
    crop: tuple[bytes, np.ndarray] | None


def leaf_faces(path: str, ids: Iterable[int]) -> dict[int, LeafFace]:
    """Return faces by their id. Not cached, see `faces`."""
    with _reader(path) as reader:
        found = {number: stored_faces.read_face(reader, number) for number in ids}
        return {
            number: LeafFace(face.name, face.markup, face.points, stored_faces.crop(reader, number))
            for number, face in found.items()
        }


@contextmanager
def _reader(path: str) -> Iterator[sqlite3.Connection]:
    of_run = _of_this_run() or _Run()
    reader = of_run.reader or connection.open_reader(Path(path), limit_s=_LIMIT_S)
    if of_run is _of_this_run():
        of_run.reader = reader
    try:
        yield reader
    except sqlite3.Error as error:
        raise as_drf_error(error, path) or error from error
    finally:
        if reader is not of_run.reader:
            reader.close()


@st.cache_data(max_entries=64, show_spinner=False)
def _image_errors(path: str, run_id: str, evaluation: int, revision: int) -> pd.DataFrame:
    # The revision is in the key because `drf db migrate` adds errors under new normalisers; the
    # run's random id because evaluations are counted from 1 again where a file is replaced.
    with _reader(path) as reader:
        return stored_predictions.image_errors(reader, evaluation)


@st.cache_resource(max_entries=32, show_spinner=False)
def _paired_errors(
    path: str, revision: int, chosen: str, _evaluations: list[int], norm: str
) -> Paired:
    # Keyed as _image_errors, and by a text, because Streamlit takes 15 ms to hash the evaluations
    # of a page of the board one by one.
    with _reader(path) as reader:
        return paired.errors(reader, _evaluations, [norm]).under(norm)
