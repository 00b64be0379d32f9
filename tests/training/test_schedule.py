"""The schedule ends where the plan or the clock ends, and anneals on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drf.config import TrainingConfig
from drf.errors import UsageError
from drf.training.optimiser import Schedule


def test_whichever_is_further_sets_the_pace() -> None:
    schedule = Schedule(steps=100, budget_s=10, paced=True, warmup=0)
    assert schedule.progress(50, 1) == 0.5
    assert schedule.progress(10, 9) == pytest.approx(0.9)
    assert not schedule.over(99, 9.9)
    assert schedule.over(100, 0)
    assert schedule.over(0, 10)


def test_a_deterministic_run_is_cut_by_the_clock_but_not_paced() -> None:
    schedule = Schedule.plan(TrainingConfig(epochs=2, max_minutes=1, deterministic=True), 50)
    assert schedule.progress(10, 59) == pytest.approx(0.1)
    assert schedule.over(10, 60)


def test_a_run_without_an_end_is_refused() -> None:
    with pytest.raises(UsageError, match="max_minutes"):
        Schedule.plan(TrainingConfig(epochs=0), 10)
    with pytest.raises(UsageError, match="deterministic"):
        Schedule.plan(TrainingConfig(epochs=0, max_minutes=1, deterministic=True), 10)


@given(st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_rises_once_and_falls_to_zero(warmup: float, a: float, b: float) -> None:
    schedule = Schedule(steps=1, budget_s=0, paced=True, warmup=warmup)
    assert schedule.rate(1.0) == pytest.approx(0, abs=1e-9)
    low, high = sorted((a, b))
    if high < warmup:
        assert schedule.rate(low) <= schedule.rate(high)
    if low >= warmup:
        assert schedule.rate(low) >= schedule.rate(high)
    assert 0 <= schedule.rate(a) <= 1
