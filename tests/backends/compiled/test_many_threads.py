"""Eight threads: models of their own, one model for all, and the first use at once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import WAYS, needs_compiler
from many_threads import KINDS, LABELS, THREADS, X, at_once, digest, model
from optional import optional
from processes import output, start

WIDTHS = {"one shape": [16] * THREADS, "other shapes": [*range(9, 9 + THREADS)]}


pytestmark = pytest.mark.usefixtures("threads_that_change_often")


def fitted_in_eight_threads(kind: str, shapes: str, way: bool) -> None:
    if kind == "estimator":
        optional("sklearn")
    works = [partial(KINDS[kind], way, width, seed) for seed, width in enumerate(WIDTHS[shapes])]
    assert at_once(works) == [work() for work in works]


@WAYS
def test_eight_threads_fit_models_of_one_shape(way: bool) -> None:
    fitted_in_eight_threads("model", "one shape", way)


@pytest.mark.long
@WAYS
@pytest.mark.parametrize("shapes", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_eight_threads_fit_models_of_their_own(kind: str, shapes: str, way: bool) -> None:
    fitted_in_eight_threads(kind, shapes, way)


@pytest.mark.long
@needs_compiler
def test_eight_threads_fit_models_that_run_in_tiles() -> None:
    works = [partial(KINDS["model"], True, 512, seed) for seed in range(THREADS)]
    assert at_once(works) == [work() for work in works]


@WAYS
def test_eight_threads_predict_with_one_model(way: bool) -> None:
    trained = model(way)
    trained.fit(X, LABELS, epochs=1)
    tables = [np.roll(X, i, axis=0)[: 600 - i % 2] for i in range(THREADS)]
    works: list[Callable[[], Any]] = [lambda x=x: {digest(trained.predict(x)) for _ in range(200)} for x in tables]
    assert at_once(works) == [{digest(trained.predict(x))} for x in tables]


FIRST = """
import sys
sys.setswitchinterval(1e-5)
from mlpcore.compiler import build
compiled, before = [], build._compile
def counted(text, *words):
    compiled.append(text)
    return before(text, *words)
build._compile = counted
from many_threads import KINDS, at_once
threads = int(sys.argv[1])
print(*at_once([lambda: KINDS["model"](True, 512, 0)] * threads), len(compiled), len({*compiled}))
"""


@needs_compiler
def test_the_first_use_in_eight_threads_at_once_compiles_each_text_once(tmp_path: Path) -> None:
    """In a fresh process without a cache on disk: nothing is imported, found or compiled yet."""
    *one, _, texts = output(start(FIRST, "1", MLPCORE_CACHE_DIR=str(tmp_path / "one"))).split()
    *eight, compiled, _ = output(start(FIRST, "8", MLPCORE_CACHE_DIR=str(tmp_path / "eight"))).split()
    assert eight == one * THREADS
    assert compiled == texts
