"""Places and fronts, against their definitions written out."""

from __future__ import annotations

import numpy as np

from drf.scoring import ranking


def test_nobody_on_the_front_is_beaten_in_both_and_everybody_else_is():
    rng = np.random.default_rng(0)
    costs, errors = rng.integers(1, 9, 40).astype(float), rng.integers(1, 9, 40).astype(float)
    front = ranking.pareto_front(costs, errors)
    for i in range(40):
        beaten = any(
            costs[j] <= costs[i]
            and errors[j] <= errors[i]
            and (costs[j] < costs[i] or errors[j] < errors[i])
            for j in range(40)
        )
        assert front[i] == (not beaten)


def test_equals_stay_together_and_what_is_not_known_is_not_on_it():
    costs, errors = np.array([1.0, 1.0, 2.0, np.nan]), np.array([3.0, 3.0, 3.0, 0.0])
    assert ranking.pareto_front(costs, errors).tolist() == [True, True, False, False]
