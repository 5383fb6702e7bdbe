"""Which rows the members of an estimator for tables learn from, and which they are judged by."""

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

LEAST = 10  # with fewer rows none is held out


def splits(
    count: int, classes: np.ndarray | None, members: int, fraction: float, seed: int
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """For each member the numbers of its training rows, and of its held-out rows, of ``count`` rows.

    One member holds out ``fraction`` of the rows. Several hold out a part each of as many, so that every row is learnt
    by all members but one (k-fold bagging); beyond 20 members the parts are those of 20 again. Parts have the shares of
    the ``classes`` where each class has enough rows. None is held out of fewer than 10 rows, or for a fraction of 0.
    ValueError for a fraction that leaves no row to train on.
    """
    rows = np.arange(count)
    if count < LEAST or not fraction:
        return [(rows, None)] * members
    least = count if classes is None else int(np.bincount(classes).min())
    if members == 1:
        held = max(int(np.ceil(fraction * count)), 1)
        if held == count:
            raise ValueError(f"validation_fraction={fraction!r} holds out all {count} rows; take a smaller fraction")
        enough = classes is not None and least >= 2 and min(held, count - held) >= classes.max() + 1
        training, held_out = train_test_split(
            rows, test_size=held, random_state=seed, stratify=classes if enough else None
        )
        return [(np.sort(training), np.sort(held_out))]
    parts = min(members, 20)
    stratified = classes is not None and least >= parts
    folds = (StratifiedKFold if stratified else KFold)(parts, shuffle=True, random_state=seed)
    found = list(folds.split(rows, classes if stratified else None))
    return [found[i % parts] for i in range(members)]
