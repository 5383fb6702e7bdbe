"""Rows drawn for a part that is held out."""

import numpy as np

from mlpcore.random import Stream


def split(rows: int, share: float, seed: int, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers ``(rest, part)``, both ascending: ``part`` has ``share`` of the rows, drawn by ``seed``.

    With ``labels`` (rows,) every class keeps its share, rounded so that the whole part has the wanted size; a class
    always keeps a row in the rest, for what is not there cannot be learned.
    """
    order = Stream(seed, "split").order(rows)
    groups = np.zeros(rows, dtype=int) if labels is None else np.unique(labels, return_inverse=True)[1]
    counts = np.bincount(groups)
    wanted = share * counts
    taken = np.floor(wanted).astype(int)  # below the count, as the share is below 1
    missing = min(round(share * rows), rows - len(counts)) - taken.sum()
    for group in np.argsort(taken - wanted, kind="stable"):  # the largest remainders first
        if missing > 0 and taken[group] < counts[group] - 1:
            taken[group] += 1
            missing -= 1
    ordered = order[np.argsort(groups[order], kind="stable")]  # the groups one after the other
    place = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)  # of a row in its group
    part = ordered[place < np.repeat(taken, counts)]
    return np.setdiff1d(np.arange(rows), part), np.sort(part)
