"""Markups: what holds for the 68 points of iBUG, and what a definition must fulfil."""

import dataclasses
import json

import numpy as np
import pytest

from drf.errors import UsageError
from drf.landmarks.markup import IBUG68, MARKUPS, Markup
from drf.models.base import InputSpec
from drf.scoring import scores

PAIR = Markup(
    name="pair",
    groups={"eyes": (0, 1), "nose": (2,)},
    flip=(1, 0, 2),
    normalisers={"ocular": ((0,), (1,))},
    subsets={"eyes": ("eyes",)},
)


def test_flip_is_an_involution_that_swaps_the_named_sides() -> None:
    assert (np.array(IBUG68.flip)[np.array(IBUG68.flip)] == np.arange(68)).all()
    for left, right in (("left_eye", "right_eye"), ("left_brow", "right_brow")):
        swapped = set(np.array(IBUG68.flip)[list(IBUG68.groups[left])])
        assert swapped == set(IBUG68.groups[right])
    assert set(IBUG68.indices("all")) == set(range(68))


@pytest.mark.parametrize("markup", [*MARKUPS.values(), PAIR], ids=lambda markup: markup.name)
def test_regions_share_no_landmark_and_have_all(markup: Markup) -> None:
    members = np.concatenate(list(markup.regions.values()))
    assert sorted(members) == list(range(markup.n_points))


def test_regions_are_the_subsets_and_what_is_in_none_and_the_groups_where_subsets_overlap() -> None:
    assert list(IBUG68.regions) == ["eyes", "brows", "nose", "mouth", "jaw"]
    assert list(MARKUPS["cofw29"].regions) == ["eyes", "brows", "mouth", "nose", "chin"]
    for subsets in (
        {"eyes": ("eyes",), "face": ("eyes", "nose")},
        {"nose": ("eyes",)},  # not the group of that name
        {},
    ):
        regions = dataclasses.replace(PAIR, subsets=subsets).regions
        assert {name: of.tolist() for name, of in regions.items()} == {"eyes": [0, 1], "nose": [2]}


def test_every_landmark_has_a_name_of_its_own_that_mirrors_with_the_face() -> None:
    names = [IBUG68.title(index) for index in range(68)]
    assert len(set(names)) == 68
    assert names[8] == "8 · jaw, chin"
    assert names[36] == "36 · right eye, outer corner"
    swap = {"right": "left", "left": "right"}
    for index, name in enumerate(names):
        _, _, place = name.partition(" · ")
        mirrored = " ".join(swap.get(word, word) for word in place.split(" "))
        assert names[np.array(IBUG68.flip)[index]].partition(" · ")[2] == mirrored
    for index in (-1, 68):
        with pytest.raises(ValueError, match="not in 0"):
            IBUG68.title(index)


def test_a_definition_comes_back_from_json() -> None:
    for markup in (IBUG68, PAIR):
        again = Markup.from_dict(json.loads(json.dumps(markup.as_dict())))
        assert again == markup
        assert hash(again) == hash(markup)
    assert dataclasses.replace(IBUG68, displayed=()) != IBUG68
    with pytest.raises(ValueError, match="incomplete"):
        Markup.from_dict({"name": "nothing"})


def test_subsets_and_their_flip_permutations() -> None:
    assert PAIR.subset_names == ("all", "eyes")
    assert PAIR.indices("eyes").tolist() == [0, 1]
    assert PAIR.flip_permutation("eyes").tolist() == [1, 0]
    for name in IBUG68.subset_names:
        known = IBUG68.indices(name)
        flip = IBUG68.flip_permutation(name)
        assert (known[flip] == np.array(IBUG68.flip)[known]).all()
    with pytest.raises(UsageError, match="use one of all, eyes"):
        PAIR.indices("mouth")
    one_eye = dataclasses.replace(
        PAIR, groups={"left": (0,), "rest": (1, 2)}, subsets={"left": ("left",)}
    )
    with pytest.raises(UsageError, match="not its own mirror image"):
        one_eye.flip_permutation("left")


def test_what_is_displayed_first() -> None:
    assert InputSpec(32, IBUG68).displayed == [36, 30, 48, 8]
    assert InputSpec(32, IBUG68, "mouth").displayed == [0]  # landmark 48
    assert InputSpec(32, PAIR).displayed == [0]  # none is named: the first


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"groups": {"eyes": (0, 1), "nose": (1, 2)}}, "each landmark"),
        ({"groups": {"eyes": (0, 1), "nose": (3,)}}, "each landmark"),
        ({"flip": (1, 2, 0)}, "its own inverse"),
        ({"flip": (1, 0)}, "its own inverse"),
        ({"closed": frozenset({"mouth"})}, "no group mouth"),
        ({"subsets": {"mouth": ("mouth",)}}, "no group mouth"),
        ({"subsets": {"all": ("eyes",)}}, "always all"),
        ({"normalisers": {"ocular": ((0,), (7,))}}, "not in 0..2"),
        ({"displayed": (3,)}, "not in 0..2"),
    ],
)
def test_a_definition_that_does_not_fit_together_is_refused(change: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(PAIR, **change)


def test_normalisers_that_a_markup_does_not_define_do_not_exist() -> None:
    gt = np.array([[[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]]])
    assert scores.defined_for(PAIR) == ("ocular", "box")
    assert scores.defined_for(IBUG68) == ("ocular", "pupil", "box")
    assert scores.distances(gt, "ocular", PAIR).tolist() == [5.0]
    assert np.isnan(scores.distances(gt, "pupil", PAIR)).all()
    assert scores.distances(gt, "box", PAIR) == pytest.approx([12**0.5])
