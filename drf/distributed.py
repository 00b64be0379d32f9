"""One training on several processes, as torchrun starts them: each computes its share of a batch.

Every process holds the same model and takes the same steps. What is a sum over faces becomes a sum
over processes: gradients, the statistics of batch norm, and those of leaves. So the network and the
forest are those of one process with the whole batch, up to the order in which numbers are added.
Means over landmarks are an exception: each process takes them over those that its own faces have,
and of coarse maps over those that lie in the box. The first process alone validates and writes.

Outside torchrun there is one process, and nothing of that does anything. There, `Threads` computes
side by side what is independent in one model.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from drf.errors import UsageError

Result = TypeVar("Result")


@contextlib.contextmanager
def started(device: str) -> Iterator[None]:
    """Join the processes that torchrun started: by NCCL where each has a GPU, else by Gloo.

    device: of the configuration. Does nothing outside torchrun.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    on_gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """Return how many processes train together: 1 outside torchrun."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them; 0 is the first."""
    return dist.get_rank() if processes() > 1 else 0


def share(batch: int) -> slice:
    """Return the part of a batch that this process computes. Raises UsageError where the batch does
    not divide: a mean over processes would not be one over faces."""
    each, rest = divmod(batch, processes())
    if rest:
        raise UsageError(
            f"a batch of {batch} faces does not divide among {processes()} processes: set"
            f" training.batch_size to {max(1, each) * processes()}"
        )
    return slice(rank() * each, (rank() + 1) * each)


def total(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, without a gradient."""
    if processes() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value


def agreed(value: Any) -> Any:
    """Return what the first process has, for all of them."""
    if processes() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


def same(model: nn.Module) -> None:
    """Give every process the weights and buffers of the first one."""
    if processes() > 1:
        for value in model.state_dict().values():
            held = value.contiguous()
            dist.broadcast(held, 0)
            value.copy_(held)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their means over all processes."""
    if processes() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= processes()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def synchronise_batch_norms(model: nn.Module) -> None:
    """Let batch norms, in training, see the batch of all processes. torch's own SyncBatchNorm needs
    GPUs."""
    if processes() == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.forward = _Synchronised(module)  # type: ignore[method-assign, assignment]


class _Total(torch.autograd.Function):
    """`total` with a gradient: what is a sum over processes moves the losses of all of them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient)


class _Synchronised:
    """The forward of a batch norm over all processes; gradients go through the sums."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        self.norm = norm

    def __deepcopy__(self, memo: dict[int, Any]) -> _Synchronised:
        return _Synchronised(memo[id(self.norm)])

    def __call__(self, x: Tensor) -> Tensor:
        norm = self.norm
        if not norm.training:
            return type(norm).forward(norm, x)
        with torch.autocast(x.device.type, enabled=False):
            rows = x.float()
            axes = [axis for axis in range(x.ndim) if axis != 1]
            n = x.numel() // x.shape[1] * processes()
            shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
            mean = _Total.apply(rows.sum(dim=axes)) / n
            apart = rows - mean.view(shape)
            variance = _Total.apply(apart.square().sum(dim=axes)) / n
            self._remember(mean.detach(), variance.detach() * n / max(1, n - 1))
            y = apart * (variance + norm.eps).rsqrt().view(shape)
            if norm.affine:
                y = y * norm.weight.view(shape) + norm.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert norm.momentum is not None
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance, norm.momentum)


class Threads:
    """Calls a function for each of `tasks` things, as many at a time as torch has threads for
    arithmetic (OMP_NUM_THREADS); these are shared out evenly.

    torch lets go of Python's lock while it computes, and backward runs in the thread that calls it.
    One after another on a device that orders the work itself, as a GPU does, and where several
    processes train, which have to speak to each other in one order.
    """

    def __init__(self, tasks: int, device: torch.device) -> None:
        threads = torch.get_num_threads()
        alone = device.type != "cpu" or processes() > 1
        self.count = 1 if alone else min(tasks, threads)
        self._pool = ThreadPoolExecutor(
            self.count, "learner", torch.set_num_threads, (threads // self.count,)
        )

    def map(self, function: Callable[..., Result], *each: Iterable[object]) -> list[Result]:
        """Return the results in the order of the arguments, as `map` does. Raises what the first
        of the calls raises, when all of them have ended."""
        calls = list(zip(*each, strict=True))
        if self.count == 1 or len(calls) == 1:
            return [function(*arguments) for arguments in calls]
        futures = [self._pool.submit(function, *arguments) for arguments in calls]
        wait(futures)
        return [future.result() for future in futures]
