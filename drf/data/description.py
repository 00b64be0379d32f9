"""What `dataset.toml` says of a folder of one's own: its landmarks, files and subsets.

    name = "mine"                      # what the leaderboard calls it
    labels = "points.csv"              # or imglab's "faces.xml", or a list of such files; without
                                       # this line NAME.pts beside each picture
    first_pixel = 0                    # CSV alone: coordinates of the centre of the first pixel
    photo = '(.+)_\\d+'                 # the part of a file name that names the photo

    [markup]                           # or: markup = "ibug68"
    landmarks = ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"]   # or their number
    flip = [["right_eye", "left_eye"], ["right_mouth", "left_mouth"]]
    closed = []                        # groups whose outline returns to its first landmark

    [markup.groups]                    # parts of the face in drawing order
    mouth = ["right_mouth", "left_mouth"]

    [markup.subsets]                   # landmark subsets: the groups that they join
    lower = ["nose", "mouth"]

    [markup.normalisers]               # the distance of the centres of two sets of landmarks, the
                                       # subject's right side first
    ocular = [["right_eye"], ["left_eye"]]

    [subsets]                          # of faces; by default val has 0.1, test 0.2 of the photos
    train = { folder = "train" }
    test = { list = "test.txt" }       # names of faces, one a line
    hard = { labels = "hard.csv" }     # the faces of one of the files of labels
    val = { share = 0.1, seed = 0 }    # a share of the photos of train

Landmarks are named, or numbered from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drf.config import nearest, parse_toml
from drf.data.file_dataset import TRAIN, VAL
from drf.data.user_files import is_inside, read_text
from drf.errors import DataError, quoted
from drf.landmarks.markup import MARKUPS, Markup
from drf.scoring import scores

FILE = "dataset.toml"

MOST_LANDMARKS = 1000

_KEYS = ("name", "labels", "first_pixel", "photo", "markup", "subsets")
_MARKUP_KEYS = (
    *("name", "landmarks", "groups", "closed", "subsets", "flip", "normalisers", "displayed"),
)
_WAYS = ("list", "folder", "labels", "share")
_NAME = re.compile(r"[\w][\w.-]{0,63}")


@dataclass(frozen=True)
class Rule:
    """How the faces of a subset are chosen: exactly one of list, folder, labels and share is
    given."""

    list: str | None = None
    folder: str | None = None
    labels: str | None = None
    share: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Description:
    """The content of a `dataset.toml`.

    landmarks    name of a landmark -> its index; none of a markup that drf defines
    labels       names of CSV or XML files; none where each picture has a .pts
    first_pixel  coordinates of the centre of the first pixel in the CSV, 0 or 1
    photo        matches the name of a face; its first group names the photo
    """

    name: str
    markup: Markup
    landmarks: Mapping[str, int]
    labels: tuple[str, ...]
    first_pixel: int
    photo: re.Pattern[str] | None
    subsets: Mapping[str, Rule]


DEFAULT_SUBSETS = {TRAIN: Rule(), VAL: Rule(share=0.1), "test": Rule(share=0.2)}


def read_description(root: Path, taken: Iterable[str] = ()) -> Description:
    """Return what the dataset.toml of a folder says. taken: names that other datasets have.

    Raises DataError that names the key that is wrong, and the nearest known one.
    """
    path = root / FILE
    if not path.is_file():
        raise DataError(
            f"{root} has no {FILE}, which says what its landmarks are; docs/datasets.md has one to"
            " copy"
        )
    try:
        table = parse_toml(read_text(path))
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} is not valid TOML: {error}") from None
    try:
        return _description(table, set(taken))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _description(table: dict[str, Any], taken: set[str]) -> Description:
    _refuse_unknown(table, _KEYS)
    name = _typed(table, "name", str)
    if not _NAME.fullmatch(name):
        raise DataError(f"name is {quoted(name)}: use letters, digits, '-', '_' and '.'")
    if name in taken:
        raise DataError(f"name is {name!r}, which drf calls another dataset: choose another one")
    labels = _label_files(table.get("labels", []))
    first_pixel = _typed(table, "first_pixel", int, 0)
    if first_pixel not in (0, 1):
        raise DataError(f"first_pixel is {quoted(first_pixel)}: use 0 or 1")
    if first_pixel and all(map(is_xml, labels)):
        raise DataError(
            "first_pixel is for a CSV file; .pts files always count from 1, XML files from 0"
        )
    own = table["markup"] if isinstance(table.get("markup"), dict) else {}
    return Description(
        name=name,
        markup=_markup(table, name),
        landmarks={n: k for k, n in enumerate(_landmarks(own).names)} if own else {},
        labels=labels,
        first_pixel=first_pixel,
        photo=_pattern(_typed(table, "photo", str, "")),
        subsets=_rules(_typed(table, "subsets", dict, {}), labels),
    )


def is_xml(labels: str) -> bool:
    """Return whether a file of labels is XML; any other one is CSV."""
    return labels.lower().endswith(".xml")


def _label_files(given: object) -> tuple[str, ...]:
    """Return the names of the files of labels. Raises DataError for what are none."""
    files = [given] if isinstance(given, str) else given
    if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
        raise DataError(f"labels is {quoted(given)}: give the name of a file, or a list of names")
    for file in files:
        if not is_inside(file):
            raise DataError(f"labels is {quoted(file)}: name a file in the folder")
    if len(set(files)) != len(files):
        raise DataError("labels has a file twice")
    return tuple(files)


def _pattern(text: str) -> re.Pattern[str] | None:
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise DataError(f"photo is no regular expression ({error})") from None
    if pattern.groups != 1:
        raise DataError(f"photo is {quoted(text)}: it needs one group in (), the photo's name")
    return pattern


def _markup(table: dict[str, Any], dataset: str) -> Markup:
    given = table.get("markup")
    if isinstance(given, str):
        if given not in MARKUPS:
            raise DataError(f"markup is {given!r}{nearest(given, MARKUPS)}")
        return MARKUPS[given]
    own = _typed(table, "markup", dict)
    _refuse_unknown(own, _MARKUP_KEYS, "markup.")
    landmarks = _landmarks(own)
    name = _typed(own, "name", str, dataset, "markup.")
    if name in MARKUPS:
        raise DataError(f"markup.name is {name!r}, which drf defines: write markup = {name!r}")
    groups = {
        group: landmarks.indices(members, f"markup.groups.{group}")
        for group, members in _typed(own, "groups", dict, {}, "markup.").items()
    }
    in_a_group = [index for members in groups.values() for index in members]
    if len(set(in_a_group)) != len(in_a_group):
        raise DataError("markup.groups has a landmark twice: each landmark is in one group")
    groups |= {landmarks.names[k]: (k,) for k in range(landmarks.n) if k not in in_a_group}
    if sum(map(len, groups.values())) != landmarks.n:
        raise DataError("markup.groups has a group with the name of a landmark outside of it")
    try:
        return Markup(
            name=name,
            groups=groups,
            flip=_flip(own, landmarks),
            normalisers=_normalisers(_typed(own, "normalisers", dict, {}, "markup."), landmarks),
            closed=frozenset(_names(own.get("closed", []), groups, "markup.closed")),
            subsets={
                subset: tuple(_names(members, groups, f"markup.subsets.{subset}"))
                for subset, members in _typed(own, "subsets", dict, {}, "markup.").items()
            },
            displayed=landmarks.indices(own.get("displayed", []), "markup.displayed"),
            titles={k: n for k, n in enumerate(landmarks.names) if n not in groups},
        )
    except ValueError as error:
        raise DataError(str(error)) from None


@dataclass(frozen=True)
class _Landmarks:
    names: tuple[str, ...]

    @property
    def n(self) -> int:
        return len(self.names)

    def indices(self, given: object, where: str) -> tuple[int, ...]:
        """Return the numbers of landmarks given by name or number."""
        if not isinstance(given, list):
            raise DataError(f"{where} is {quoted(given)}: give a list of landmarks")
        return tuple(self._index(one, where) for one in given)

    def _index(self, given: object, where: str) -> int:
        if isinstance(given, str):
            if given not in self.names:
                raise DataError(f"{where} has no landmark {given!r}{nearest(given, self.names)}")
            return self.names.index(given)
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < self.n:
            raise DataError(
                f"{where} has the landmark {quoted(given)}: use a name, or 0..{self.n - 1}"
            )
        return given


def _landmarks(own: dict[str, Any]) -> _Landmarks:
    given = own.get("landmarks")
    if isinstance(given, int) and not isinstance(given, bool) and 2 <= given <= MOST_LANDMARKS:
        return _Landmarks(tuple(f"landmark {k}" for k in range(given)))
    names = given if isinstance(given, list) else []
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError("markup.landmarks has something that is no name of a landmark")
    if len(set(names)) != len(names):
        raise DataError("markup.landmarks has a name twice")
    if not 2 <= len(names) <= MOST_LANDMARKS:
        raise DataError(
            f"markup.landmarks must be a list of 2 to {MOST_LANDMARKS} names, or their number"
        )
    return _Landmarks(tuple(names))


def _flip(own: dict[str, Any], landmarks: _Landmarks) -> tuple[int, ...]:
    if "flip" not in own:
        raise DataError(
            "markup.flip is missing: list the pairs that a mirror exchanges, e.g."
            ' flip = [["right_eye", "left_eye"]]; flip = [] if it exchanges none'
        )
    permutation = list(range(landmarks.n))
    for pair in _typed(own, "flip", list, None, "markup."):
        indices = landmarks.indices(pair, "markup.flip")
        if len(indices) != 2 or indices[0] == indices[1]:
            raise DataError(f"markup.flip has {quoted(pair)}: each is a pair of two landmarks")
        a, b = indices
        if permutation[a] != a or permutation[b] != b:
            raise DataError(f"markup.flip has a landmark of {quoted(pair)} in two pairs")
        permutation[a], permutation[b] = b, a
    return tuple(permutation)


def _normalisers(
    given: dict[str, Any], landmarks: _Landmarks
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    known = [normaliser.key for normaliser in scores.NORMALISERS if normaliser.of_markup]
    _refuse_unknown(given, known, "markup.normalisers.")
    found = {}
    for key, ends in given.items():
        where = f"markup.normalisers.{key}"
        if not isinstance(ends, list) or len(ends) != 2:
            raise DataError(f"{where} is {quoted(ends)}: give two lists of landmarks")
        one, other = (landmarks.indices(end, where) for end in ends)
        if not one or not other or set(one) & set(other):
            raise DataError(f"{where} needs two lists without a landmark in common")
        found[key] = (one, other)
    return found


def _rules(given: dict[str, Any], labels: Sequence[str]) -> dict[str, Rule]:
    rules = {name: _rule(name, rule) for name, rule in given.items()} or dict(DEFAULT_SUBSETS)
    rules = {TRAIN: Rule(), VAL: Rule(share=0.1)} | rules
    if rules[TRAIN].share is not None:
        raise DataError("subsets.train takes no share: it has what the other shares leave")
    for name, rule in rules.items():
        if rule.labels is not None and rule.labels not in labels:
            raise DataError(
                f"subsets.{name}.labels is {quoted(rule.labels)}{nearest(rule.labels, labels)}:"
                " name one of the files of labels"
            )
    if sum(rule.share or 0 for rule in rules.values()) >= 1:
        raise DataError("the shares in subsets leave nothing for train: their sum is 1 or more")
    return rules


def _rule(name: str, given: object) -> Rule:
    where = f"subsets.{name}"
    if not _NAME.fullmatch(name):
        raise DataError(f"{where} is no name: use letters, digits, '-', '_' and '.'")
    if not isinstance(given, dict) or sum(key in given for key in _WAYS) != 1:
        raise DataError(
            f'{where} needs one of {{ list = "FILE" }}, {{ folder = "NAME" }},'
            ' { labels = "FILE" } and { share = 0.1, seed = 0 }'
        )
    _refuse_unknown(given, (*_WAYS, "seed"), f"{where}.")
    for key in _WAYS[:-1]:
        if key in given and not is_inside(_typed(given, key, str, None, f"{where}.")):
            raise DataError(f"{where}.{key} is {quoted(given[key])}: name one in the folder")
    if "share" not in given:
        return Rule(given.get("list"), given.get("folder"), given.get("labels"))
    share, seed = given["share"], _typed(given, "seed", int, 0, f"{where}.")
    if isinstance(share, bool) or not isinstance(share, float) or not 0 < share < 1:
        raise DataError(f"{where}.share is {quoted(share)}: use a number above 0 and below 1")
    return Rule(share=share, seed=seed)


def _names(given: object, known: Iterable[str], where: str) -> list[str]:
    known = list(known)
    if not isinstance(given, list):
        raise DataError(f"{where} is {quoted(given)}: give a list of groups")
    for one in given:
        if one not in known:
            raise DataError(f"{where} has no group {quoted(one)}{nearest(str(one), known)}")
    return given


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], prefix: str = "") -> None:
    known = list(known)
    for key in table:
        if key not in known:
            raise DataError(f"unknown key {quoted(prefix + key)}{nearest(key, known)}")


_WORDS = {str: "a text in quotes", int: "a whole number", dict: "a table", list: "a list"}


def _typed(
    table: Mapping[str, Any], key: str, kind: type, default: Any = None, prefix: str = ""
) -> Any:
    """Return the value of a key. Raises DataError for another type, and where a key without a
    default is missing."""
    if key not in table and default is not None:
        return default
    if key not in table:
        raise DataError(f"the key {prefix}{key} is missing: give {_WORDS[kind]}")
    value = table[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{prefix}{key} is {quoted(value)}: give {_WORDS[kind]}")
    return value
