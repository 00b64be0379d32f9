"""Every parameter that a link of the app can carry. The one place that names them.

A widget has its key as the parameter's name, one name space for the whole app, so what belongs to
one page carries its prefix. A value that equals the default is not written into the address:
defaults are constants here, and a full link (`widgets.full_link`) contains every value.

Old links: a key or a value that was renamed stays in `OLD_KEYS` or `OLD_VALUES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from db.recording import box_labels
from db.recording.saved_links import PAGES

LEADERBOARD, RUN, IMAGES, COMPARE, ABLATIONS, LIVE, PHOTO, ABOUT = PAGES


@dataclass(frozen=True)
class UrlKey:
    """One parameter.

    pages    url paths of the pages that read it
    default  value of a link without it; None: the first option that the store offers
    meaning  one line, shown on the About page
    """

    name: str
    pages: tuple[str, ...]
    default: str | bool | tuple[str, ...] | None
    meaning: str


_SCORED = (LEADERBOARD, RUN, IMAGES, COMPARE, ABLATIONS)

VIEW = UrlKey("view", (), None, "name of a named view, which opens in place of the other keys")
FROM_VIEW = UrlKey("from_view", (), None, "name of the named view that opened the page")
CARD = UrlKey("card", (LEADERBOARD, RUN, COMPARE), None, "preset whose method card is open")
NORM = UrlKey("norm", (*_SCORED, LIVE), None, "normaliser of the errors, see Normalisers")
REVISION = UrlKey("rev", _SCORED, None, "revision of the store when the link was made")
PINNED = UrlKey("pinned", (LEADERBOARD,), False, "whether the board is shown as it was at rev")

BOARD_DATASET = UrlKey("lb_dataset", (LEADERBOARD,), None, "dataset")
BOARD_SUBSET = UrlKey("lb_subset", (LEADERBOARD,), None, "subset of the dataset")
BOARD_LANDMARKS = UrlKey(
    "lb_landmarks", (LEADERBOARD,), None, "landmark subset that errors are averaged over"
)
BOARD_BOX = UrlKey("lb_box", (LEADERBOARD,), None, "box protocol of the crops")
BOARD_TEXT = UrlKey("lb_text", (LEADERBOARD,), "", "text that a run's name, family or id contains")
BOARD_SORT = UrlKey("lb_sort", (LEADERBOARD,), "NME", "column that orders the rows")
BOARD_ORDER = UrlKey("lb_order", (LEADERBOARD,), "Best first", "Best first or Worst first")
BOARD_ROWS = UrlKey("lb_rows", (LEADERBOARD,), "Methods", "what a row is: Methods or Runs")
BOARD_OPEN = UrlKey("lb_open", (LEADERBOARD,), None, "method whose runs are shown below it")
BOARD_FAMILY = UrlKey("lb_family", (LEADERBOARD,), "All", "family of models, or All")
BOARD_TAG = UrlKey("lb_tag", (LEADERBOARD,), "All", "tag that a run has, or All")
BOARD_SINCE = UrlKey(
    "since", (LEADERBOARD,), None, "day or revision since which the board lists what is new"
)
BOARD_ALL_NORMS = UrlKey("lb_both", (LEADERBOARD,), False, "whether all normalisers are shown")
BOARD_BASE = UrlKey(
    "lb_base", (LEADERBOARD,), None, "baseline: method or run that others are compared with"
)
BOARD_TICKED = UrlKey(
    "lb_ticked", (LEADERBOARD,), None, "rows that are compared: beginnings of ids of runs"
)
BOARD_COLUMNS = UrlKey("lb_cols", (LEADERBOARD,), None, "columns, one parameter each")
BOARD_VARY = UrlKey("lb_vary", (LEADERBOARD,), True, "whether only columns that vary are shown")
BOARD_PUBLISHED = UrlKey(
    "lb_published", (LEADERBOARD,), False, "whether published results are shown"
)
BOARD_PAGE = UrlKey("lb_page", (LEADERBOARD,), "1", "page of the rows")

RUN_ID = UrlKey("run", (RUN,), None, "run: the beginning of its id, or its name")
RUN_EVALUATION = UrlKey("run_eval", (RUN,), None, "evaluation: dataset/subset/box")
RUN_TAB = UrlKey("run_tab", (RUN,), "Results", "section of the page")
RUN_SEGMENTS = UrlKey(
    "run_segments", (RUN,), False, "whether faces show the error of each landmark"
)
RUN_EPOCH = UrlKey("run_epoch", (RUN,), "Last", "epoch whose predictions are shown, or Last")
RUN_LEAVES = UrlKey("run_leaves", (RUN,), "All", "landmarks of the leaves shown, or All")
RUN_TREE = UrlKey("run_tree", (RUN,), "All", "tree of the leaves shown, or All")
RUN_PAGE = UrlKey("run_page", (RUN,), "1", "page of the leaves")
RUN_LEAF_ORDER = UrlKey(
    "run_order", (RUN,), "Share", "what orders the leaves: Share or Distance from the mean"
)
RUN_SLICE = UrlKey("run_slice", (RUN,), None, "attribute of the faces that errors are split by")
RUN_CHANGED = UrlKey("run_changed", (RUN,), True, "whether the configuration hides defaults")

IMAGES_EVALUATION = UrlKey("img_eval", (IMAGES,), None, "evaluation: dataset/subset/box")
IMAGES_RUNS = UrlKey("img_runs", (IMAGES,), None, "runs: beginnings of their ids, with commas")
IMAGES_SORT = UrlKey(
    "img_sort",
    (IMAGES,),
    "Error",
    "what orders the faces: Error, Disagreement, Improvement or Doubtful label",
)
IMAGES_ORDER = UrlKey("img_order", (IMAGES,), "Largest first", "Largest first or Smallest first")
IMAGES_A = UrlKey("img_a", (IMAGES,), None, "run whose errors are shown, of those chosen")
IMAGES_B = UrlKey("img_b", (IMAGES,), None, "run over which the other improves")
IMAGES_PART = UrlKey("img_part", (IMAGES,), "All", "part of the subset, or All")
IMAGES_ERROR = UrlKey(
    "img_error", (IMAGES,), ("0", "no limit"), "range of errors, %, as two parameters"
)
IMAGES_PAGE = UrlKey("img_page", (IMAGES,), "1", "page of the faces")
IMAGES_FACE = UrlKey("img_face", (IMAGES, RUN), None, "name of the face that is shown large")
IMAGES_SEGMENTS = UrlKey(
    "img_segments",
    (IMAGES, RUN),
    None,
    "whether the large face shows the error of each landmark; without this key, only where one or"
    " two runs are shown",
)
IMAGES_ELLIPSES = UrlKey(
    "img_ellipses",
    (IMAGES, RUN),
    None,
    "whether the large face shows the predicted uncertainty; without this key, only where one or"
    " two runs are shown",
)
IMAGES_NUMBERS = UrlKey(
    "img_numbers", (IMAGES, RUN), False, "whether the large face shows the numbers of landmarks"
)
IMAGES_SHOWN = UrlKey(
    "img_shown", (IMAGES,), "All", "run whose prediction alone is drawn: 1, 2, …, or All"
)

COMPARE_EVALUATION = UrlKey("cmp_eval", (COMPARE,), None, "evaluation: dataset/subset/box")
COMPARE_RUNS = UrlKey("cmp_runs", (COMPARE,), None, "2 to 6 runs: beginnings of their ids")
COMPARE_CURVE = UrlKey("cmp_curve", (COMPARE,), "Validation NME", "what the curves show")
COMPARE_X = UrlKey("cmp_x", (COMPARE,), None, "run on the x axis of the errors face by face")
COMPARE_Y = UrlKey("cmp_y", (COMPARE,), None, "run on the y axis of the errors face by face")
COMPARE_SLICE = UrlKey(
    "cmp_slice", (COMPARE,), None, "attribute of the faces that errors are split by"
)
COMPARE_COST = UrlKey("cmp_cost", (COMPARE,), "MACs", "cost that the NME is drawn against")
COMPARE_ALL = UrlKey("cmp_all", (COMPARE,), False, "whether identical keys are listed too")

SWEEP = UrlKey("sweep", (ABLATIONS,), "All runs", "sweep whose runs are compared, or All runs")
ABLATION_EVALUATION = UrlKey("abl_eval", (ABLATIONS,), None, "evaluation: dataset/subset/box")
ABLATION_BASE = UrlKey("abl_base", (ABLATIONS,), None, "run of the baseline: beginning of its id")
ABLATION_FACTOR = UrlKey("abl_factor", (ABLATIONS,), None, "configuration key that varies")
ABLATION_BY = UrlKey("abl_by", (ABLATIONS,), "None", "second key that varies, or None")
ABLATION_CELL = UrlKey("abl_cell", (ABLATIONS,), "NME", "cells of the pivot: NME or Difference")

LIVE_CURVE = UrlKey(
    "live_curve", (LIVE,), "Both", "curves: Both, or only Validation NME or Training loss"
)
LIVE_WINDOW = UrlKey(
    "live_window", (LIVE,), "24 hours", "time within which runs that are listed have ended"
)
LIVE_REFRESH = UrlKey("live_refresh", (LIVE,), "5 s", "how often the page refreshes")

PHOTO_SOURCE = UrlKey(
    "photo_from", (PHOTO,), "File", "where the photo comes from: File, Clipboard or Camera"
)

KEYS = tuple(value for value in list(globals().values()) if isinstance(value, UrlKey))


def of_page(page: str) -> tuple[UrlKey, ...]:
    """Return the parameters that a page reads, in the order of a full link."""
    return tuple(key for key in KEYS if page in key.pages)


FILTERS = {
    "dataset": BOARD_DATASET.name,
    "subset": BOARD_SUBSET.name,
    "landmarks": BOARD_LANDMARKS.name,
    "box": BOARD_BOX.name,
}
"""Column of a board -> parameter of the leaderboard."""
EVALUATIONS = {
    RUN: RUN_EVALUATION.name,
    IMAGES: IMAGES_EVALUATION.name,
    COMPARE: COMPARE_EVALUATION.name,
    ABLATIONS: ABLATION_EVALUATION.name,
}
RUNS = {
    LEADERBOARD: BOARD_TICKED.name,
    RUN: RUN_ID.name,
    IMAGES: IMAGES_RUNS.name,
    COMPARE: COMPARE_RUNS.name,
}
ROWS_BY_PAGE = {
    BOARD_PAGE.name: {
        *FILTERS.values(),
        *(key.name for key in (NORM, REVISION, PINNED, BOARD_SORT, BOARD_ORDER, BOARD_ROWS)),
        *(key.name for key in (BOARD_TEXT, BOARD_FAMILY, BOARD_TAG)),
    },
    IMAGES_PAGE.name: {
        *(key.name for key in (NORM, IMAGES_EVALUATION, IMAGES_RUNS, IMAGES_A, IMAGES_B)),
        *(key.name for key in (IMAGES_SORT, IMAGES_ORDER, IMAGES_PART, IMAGES_ERROR)),
    },
    RUN_PAGE.name: {key.name for key in (RUN_ID, RUN_LEAVES, RUN_TREE, RUN_LEAF_ORDER)},
}
"""Parameter for a page of rows -> what decides which rows there are, and in which order."""
BASELINES = {LEADERBOARD: BOARD_BASE.name, ABLATIONS: ABLATION_BASE.name}
"""Page -> its parameter for a board, for runs, for a baseline."""
CARRIED = {name for keys in (FILTERS, EVALUATIONS, RUNS, BASELINES) for name in keys.values()}
"""What travels from page to page, see `webapp/links/carried.py`; NORM is one key for all."""
_BOARD_OF = (BOARD_DATASET.name, BOARD_SUBSET.name)

OLD_KEYS = {
    "lb_points": BOARD_LANDMARKS.name,
    "live_last": LIVE_WINDOW.name,
    "live_every": LIVE_REFRESH.name,
}
"""Key of a link made by an earlier version -> key of today."""

_SCORE_NAMES = {f"{score}{t}": f"{score}@{t}" for score in ("FR", "AUC") for t in (8, 10)}
OLD_VALUES: dict[str, dict[str, str]] = {
    BOARD_SORT.name: _SCORE_NAMES,
    BOARD_COLUMNS.name: _SCORE_NAMES | {"Params": "Parameters", "Training": "Training time"},
    RUN_TAB.name: {"Curves": "Training"},
    COMPARE_CURVE.name: {"loss": "Training loss"},
    LIVE_WINDOW.name: {"hour": "1 hour", "day": "24 hours", "week": "7 days"},
}
"""Key of today -> value of a link made by an earlier version -> value of today."""

_LATENCY = (
    "Latency is no longer on the leaderboard: it was measured during each evaluation, and so told"
    " of what else the machine did. The page of a run shows it as the throughput of an evaluation;"
    " the column Milliseconds has what `drf bench` measures."
)
REMOVED = {key.name: {"Latency": _LATENCY} for key in (BOARD_SORT, BOARD_COLUMNS)}
"""Key -> value of a link made by an earlier version that is no more -> why not."""


def up_to_date(parameters: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the parameters of a link with the keys and values of today. A key of today wins over
    an old one beside it."""
    renamed: dict[str, list[str]] = {}
    for name, values in parameters.items():
        key = OLD_KEYS.get(name, name)
        if key != name and key in parameters:
            continue
        of_key = OLD_VALUES.get(key, {})
        renamed[key] = [of_key.get(value, value) for value in values]
    return renamed


def with_boxes(
    parameters: Mapping[str, Sequence[str]], boards: Iterable[tuple[str, str, str]]
) -> dict[str, list[str]]:
    """Return the parameters of a link with the boxes that the store has.

    Links of earlier versions say `file` of whatever file boxes came from; a link may also name a
    file as another store does. boards: (dataset, subset, box), the fullest first.
    """
    known = list(boards)

    def named(dataset: str | None, subset: str | None, box: str) -> str:
        labels = [b for d, s, b in known if dataset in (None, d) and subset in (None, s)]
        return box if box in labels else (box_labels.meant(box, labels) or box)

    def renamed(key: str, value: str) -> str:
        if key == BOARD_BOX.name:
            dataset, subset = (next(iter(parameters.get(k, ())), None) for k in _BOARD_OF)
            return named(dataset, subset, value)
        parts = value.split("/")
        if len(parts) < 3 or key not in EVALUATIONS.values():
            return value
        return "/".join([*parts[:2], named(parts[0], parts[1], parts[2]), *parts[3:]])

    return {key: [renamed(key, value) for value in values] for key, values in parameters.items()}
