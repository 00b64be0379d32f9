"""What the curves of a run say of its health beyond its condition: hints, which rank nothing."""

from __future__ import annotations

import pandas as pd

from drf import scores

_FEW_EPOCHS = 5
_RISE = 1.1
_ONE_LEAF = 0.95


def remarks(curves: pd.DataFrame) -> list[str]:
    """Return sentences on the (epoch, metric, value) of a run; none where nothing is odd, or there
    are too few epochs to tell."""
    found = []
    by_norm = (_values(curves, f"val_nme_{norm}") for norm in scores.NORMALISER_KEYS)
    nme = next((values for values in by_norm if len(values)), pd.Series(dtype=float))
    if len(nme) >= _FEW_EPOCHS:
        best, last = nme.idxmin(), nme.iloc[-1]
        if best <= 1:
            found.append(
                f"The best epoch is epoch {best}: it did not improve after that. The learning rate"
                " may be too high."
            )
        elif last > _RISE * nme[best]:
            found.append(
                f"The validation NME rose from {100 * nme[best]:.2f} % (epoch {best}) to"
                f" {100 * last:.2f} % in the last epoch."
            )
    share = _values(curves, "largest_share")
    if len(share) and share.iloc[-1] > _ONE_LEAF:
        found.append(
            f"{100 * share.iloc[-1]:.0f} % of the routing ends in one leaf of each tree: the trees"
            " hardly look at the picture."
        )
    return found


def _values(curves: pd.DataFrame, metric: str) -> pd.Series:
    """Return a metric by epoch, without what is not finite."""
    rows = curves[curves["metric"] == metric].dropna(subset=["value"])
    return rows.set_index("epoch")["value"].sort_index()
