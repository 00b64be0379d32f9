"""The rate of stepwise EM: statistics over batches that never start again.

    S <- (1 - eta) S + eta * batch,   eta = (t + 2)^-0.6

(Cappe and Moulines 2009, arXiv 0712.4273; Liang and Klein 2009 for the exponent). Restarting the
statistics on every batch, as the notes did, is worse than a single step on all faces.
"""

from __future__ import annotations

from torch import Tensor

EXPONENT = 0.6
"""Between 0.5 and 1 the statistics converge; the smaller, the sooner the past is forgotten."""


def rate(step: Tensor) -> Tensor:
    """Return eta of a step counted from 0, on its device: () int64 -> () float32."""
    return (step + 2).float().pow(-EXPONENT)
