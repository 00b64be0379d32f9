"""What several benchmarks measure: seconds of a step, FLOPs, a device's peak, waits for it; and the
one thread on which latencies are measured."""

from __future__ import annotations

import contextlib
import statistics
import time
import warnings
from collections.abc import Iterator

import cv2
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from drf.inference.latency import Step as Step
from drf.inference.latency import one_thread as torch_on_one_thread


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch and OpenCV compute on one thread, that of the caller. OpenCV, which cuts the
    faces out, has a pool of its own, which neither torch's number nor OMP_NUM_THREADS changes."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with torch_on_one_thread():
            yield
    finally:
        cv2.setNumThreads(before)


def seconds(step: Step, repeats: int) -> float:
    """Return the mean seconds of a step; all that a GPU still has to do is waited for."""
    started = time.perf_counter()
    for _ in range(repeats):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / repeats


def in_turn(steps: dict[str, Step], blocks: int, repeats: int) -> dict[str, list[float]]:
    """Return each step's seconds, block by block in turn, so that a noisy machine slows all alike.

    Every step runs twice before, untimed.
    """
    for step in steps.values():
        seconds(step, 2)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(blocks):
        for name, step in steps.items():
            times[name].append(seconds(step, repeats))
    return times


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in times.items()}


def flops_of(step: Step) -> int:
    """Return the FLOPs of a step's convolutions and matrix products, backward included."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def peak_steps(device: torch.device, precision: str) -> dict[str, tuple[Step, float]]:
    """Return what reaches a device's peak, bf16 or fp32: a large matrix product and a 3x3
    convolution, each with its FLOPs."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    n, batch, channels, cells = (8192, 64, 256, 64) if device.type == "cuda" else (1024, 8, 64, 32)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    images = torch.randn(batch, channels, cells, cells, device=device, dtype=dtype)
    images = images.to(memory_format=torch.channels_last)
    kernel = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
    kernel = kernel.to(memory_format=torch.channels_last)
    return {
        "matmul": (lambda: a @ b, 2.0 * n**3),
        "conv": (lambda: F.conv2d(images, kernel, padding=1), 18.0 * images.numel() * channels),
    }


def waits_of(step: Step, repeats: int) -> float:
    """Return the synchronisations per step that CUDA's debug mode warns of."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(repeats):
                step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(w.message) for w in caught) / repeats
