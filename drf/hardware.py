"""Which device and which precision a run gets, and what to call the machine."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from drf.config import check_key
from drf.errors import UsageError


def choose_device(wanted: str) -> torch.device:
    """Return the device for auto | cpu | cuda | mps. Raises UsageError for any other name, and
    where this machine or this torch has no such device."""
    check_key("training.device", wanted, "device")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("this machine has no CUDA device; use --device cpu or auto")
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise UsageError(
            "this machine, or its torch, has no Apple GPU (mps); use --device cpu or auto"
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return bf16 or fp32; auto takes bf16 where the hardware multiplies it natively, else fp32.

    On CPUs with neither AMX nor AVX512_BF16 it is emulated, two to three times slower than fp32.
    Raises UsageError for another name.
    """
    check_key("training.precision", wanted, "precision")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "mps":
        native = False
    else:
        native = not cpu_flags().isdisjoint(("amx_bf16", "avx512_bf16"))
    return "bf16" if native else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which the model computes. Without torch's cache of converted weights,
    which is one for all threads: the first that leaves its context empties it."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
    return contextlib.nullcontext()


@contextlib.contextmanager
def reproducible(deterministic: bool) -> Iterator[None]:
    """Within it torch refuses operations whose result depends on timing, if asked to."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic or before)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def cpu_flags() -> frozenset[str]:
    """Return the processor's feature flags; empty where the system does not list them."""
    for line in _cpuinfo():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def describe(device: torch.device) -> str:
    """Return a short name: "NVIDIA H100 80GB HBM3" or "Intel(R) Xeon(R) …, 2 threads, AMX bf16"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{platform.processor() or platform.machine()}, Apple GPU"
    return f"{_cpu_name()}, {torch.get_num_threads()} threads{_cpu_feature()}"


def describe_cpu() -> str:
    """Return the name of the processor, whatever number of threads is used: "Intel(R) …, AVX2"."""
    return f"{_cpu_name()}{_cpu_feature()}"


def _cpu_name() -> str:
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cpu_feature() -> str:
    return next((label for flag, label in _FEATURES if flag in cpu_flags()), "")


_FEATURES = (
    ("amx_bf16", ", AMX bf16"),
    ("avx512_bf16", ", AVX-512 bf16"),
    ("avx512f", ", AVX-512"),
    ("avx2", ", AVX2"),
)


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
