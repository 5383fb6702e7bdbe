"""The rule that is fitted to the times of NumPy and a GPU, and the file that keeps them."""

import json
import math
import os
from pathlib import Path
from typing import Any

import crossover
import numpy as np
import pytest
from crossover import HERE, document, write

from mlpcore.backends.choice import kept
from mlpcore.backends.choice.measurement import DTYPES, WHATS, Unusable, parsed
from mlpcore.backends.choice.rule import MARGIN, Errors, Point, errors, estimated, threshold
from mlpcore.compiler import cache

folder = crossover.folder  # a fixture


def test_the_threshold_lies_between_the_sizes_where_the_faster_one_changes() -> None:
    points = [Point(1e4, 1, 9), Point(1e5, 1, 3), Point(1e7, 3, 1), Point(1e8, 9, 1)]
    assert threshold(points) == threshold(points[::-1]) == pytest.approx(1e6)
    assert errors(points, 1e6) == Errors(0, 1.0)


def test_the_threshold_has_the_smallest_product_of_chosen_times() -> None:
    """Against all other thresholds, on random times; those of the GPU count MARGIN times."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 8))
        flops = rng.choice([1.0, 2.0, 3.0, 5.0, 8.0, 13.0], count)
        points = [Point(f, *np.exp(rng.normal(size=2))) for f in flops]

        def cost(limit: float, points: list[Point] = points) -> float:
            return sum(math.log(point.gpu * MARGIN if point.flops >= limit else point.numpy) for point in points)

        assert cost(threshold(points)) <= min(cost(limit) for limit in (*flops, math.inf)) + 1e-12


def test_no_gpu_where_it_never_pays_and_none_below_what_was_measured() -> None:
    slow, fast = [Point(f, 1.0, 2.0) for f in (1e3, 1e6)], [Point(f, 2.0, 1.0) for f in (1e3, 1e6)]
    assert threshold(slow) == threshold([]) == math.inf
    assert threshold(fast) == 1e3
    assert threshold([Point(f, 1.1, 1.0) for f in (1e3, 1e6)]) == math.inf  # as little as this may be noise


def test_an_outlier_does_not_move_the_threshold() -> None:
    points = [Point(10.0**k, 10.0**k, 10.0**4.5) for k in range(1, 9)]
    odd = [point if point.flops != 1e2 else point._replace(numpy=2e5) for point in points]
    assert threshold(points) == threshold(odd) == pytest.approx(10**4.5)
    assert errors(odd, threshold(odd)) == (1, pytest.approx(2e5 / 10**4.5))


def test_the_estimate_grows_with_the_threads_and_takes_no_gpu_in_float64() -> None:
    assert estimated("float32", 8) == 4 * estimated("float32", 2) < math.inf == estimated("float64", 2)


def test_a_measurement_is_read_as_it_was_written(folder: Path) -> None:
    assert kept() == (None, "")
    write(folder, document(1e6))
    measurement, ignored = kept()
    assert measurement is not None and not ignored
    for dtype in DTYPES:
        assert [measurement.threshold(dtype, what) for what in WHATS] == pytest.approx([1e6] * len(WHATS))
    assert dict(measurement.setup) == HERE and measurement.threshold("float16", "step") is None
    assert cache.usage()[0] == 0  # it is no library
    cache.clear()
    assert kept() == (None, "") and not [*folder.iterdir()]


def test_pruning_of_old_libraries_leaves_the_measurement(folder: Path) -> None:
    old = folder / f"{'0' * 32}-{'0' * 32}.so"
    old.touch()
    for path in (write(folder, document()), old):
        os.utime(path, (0, 0))
    cache.keep("1" * 32, b"library")
    assert not old.exists() and kept()[0] is not None


def row(**changes: Any) -> dict[str, Any]:
    return document() | {"measurements": [document()["measurements"][0] | changes]}


HOSTILE = {
    "empty": "",
    "binary": "\x00\x01",
    "deep": "[" * 100_000,
    "digits": '{"format": ' + "9" * 10_000 + "}",
    "list": [],
    "format": document(format=99),
    "no date": document(date=None),
    "control codes": document(date="\x1b[31m2026-11-28"),
    "setup": document(setup={**HERE, "threads": 2}),
    "no setup": document(setup=None),
    "no rows": document(measurements=[]),
    "rows": document(measurements={"a": 1}),
    "many": document(measurements=document()["measurements"] * 200),
    "row": document(measurements=[1]),
    "dtype": row(dtype=["float32"]),
    "what": row(what="sleep"),
    "missing": row(gpu=None),
    "text": row(gpu="1"),
    "bool": row(gpu=True),
    "zero": row(gpu=0),
    "negative": row(numpy=-1.0),
    "NaN": row(numpy=math.nan),
    "infinite": row(flops=math.inf),
    "huge": row(flops=10**400),
    "tiny": row(numpy=5e-324),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_any_other_content_is_ignored_with_a_reason(case: str, folder: Path) -> None:
    path = write(folder, HOSTILE[case])
    with pytest.raises(Unusable):
        parsed(path.read_bytes())
    measurement, ignored = kept()
    assert measurement is None and str(path) in ignored and ignored.isprintable()


def test_a_file_that_others_may_write_is_ignored(folder: Path) -> None:
    path = write(folder, document())
    path.chmod(0o666)
    assert kept() == (None, f"the measurement {path} is ignored: other users may write there")
    path.chmod(0o600)
    folder.chmod(0o777)
    assert kept()[0] is None and "other users may write there" in kept()[1]


def test_what_is_no_small_plain_file_is_ignored(folder: Path, tmp_path: Path) -> None:
    path = folder / cache.CROSSOVER
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document()))
    for make in (path.mkdir, lambda: path.symlink_to(other), lambda: os.mkfifo(path)):
        make()
        measurement, ignored = kept()
        assert measurement is None and "ignored" in ignored
        assert path.is_dir() or path.is_symlink() or "no plain file" in ignored
        path.rmdir() if path.is_dir() else path.unlink()
    write(folder, json.dumps(document()) + " " * (1 << 20))
    assert kept()[0] is None and "more than" in kept()[1]
