"""A stand-in for Ray that runs tasks in this process, one after another as they are waited for."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import pytest


class RayError(Exception):
    """As `ray.exceptions.RayError`."""


class Task:
    """A function that is called when its result is asked for."""

    def __init__(self, call: Callable[[], object], dies: bool) -> None:
        self.call, self.dies = call, dies

    def result(self) -> object:
        if self.dies:
            raise RayError("the machine died")
        try:
            return self.call()
        except Exception as error:
            raise RayError(str(error)) from error


def install(monkeypatch: pytest.MonkeyPatch, dies: Sequence[str] = ()) -> None:
    """Let `import ray` find the stand-in. dies: ids of jobs whose machines die each time."""

    def remote(**_: object) -> Callable[[Callable[..., object]], Any]:
        def decorate(function: Callable[..., object]) -> Any:
            def begin(job: Any, *rest: object) -> Task:
                return Task(lambda: function(job, *rest), job.id in dies)

            return types.SimpleNamespace(remote=begin)

        return decorate

    ray: Any = types.ModuleType("ray")
    ray.exceptions = types.ModuleType("ray.exceptions")
    ray.exceptions.RayError = RayError
    ray.remote = remote
    ray.init = ray.shutdown = ray.cancel = lambda *_, **__: None
    ray.cluster_resources = dict
    ray.wait = lambda tasks, num_returns, **_: (tasks[:num_returns], tasks[num_returns:])
    ray.get = Task.result
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
