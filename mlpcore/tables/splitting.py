"""Splits rows at random into two parts."""

import numpy as np

from mlpcore.random import Stream


def split(rows: int, share: float, seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers ``(rest, held_out)``, both ascending: ``held_out`` has ``share`` of the rows, drawn by ``seed``.

    With ``labels`` (rows,) every class keeps its share in both parts, up to rounding, and at least one row in the rest.
    """
    order = Stream(seed, "split").order(rows)
    if labels is None:
        held = np.zeros(rows, dtype=bool)
        held[order[: min(round(share * rows), rows - 1)]] = True
        return np.flatnonzero(~held), np.flatnonzero(held)
    groups = np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(groups)
    exact = share * counts
    sizes = np.floor(exact).astype(int)  # below the count, as the share is below 1
    missing = min(round(share * rows), rows - len(counts)) - sizes.sum()
    for group in np.argsort(sizes - exact, kind="stable"):  # the largest remainders first
        if missing > 0 and sizes[group] < counts[group] - 1:
            sizes[group] += 1
            missing -= 1
    ordered = order[np.argsort(groups[order], kind="stable")]  # sorted by group
    rank = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)  # of a row in its group
    held_out = ordered[rank < np.repeat(sizes, counts)]
    return np.setdiff1d(np.arange(rows), held_out), np.sort(held_out)
