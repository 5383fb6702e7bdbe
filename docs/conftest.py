"""Runs the pages: every ``python`` block, and every ``text`` block that follows one and shows what it prints.

A page has one namespace and its own temporary directory, which holds the data files that lie beside the pages.
"""

import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot as plt
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from mlpcore.compiler.build import find_compiler

TUTORIALS = Path(__file__).parent / "tutorials"
OTHERS = ("jax", "torch")  # libraries whose code stands beside ours in coming-from, where they are installed


def run(example: Example) -> None:
    """Execute the block and keep what it prints for the text block after it."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            PythonEvaluator()(example)
    except ModuleNotFoundError as error:
        if error.name not in OTHERS:
            raise
        example.namespace["_printed"] = None
        pytest.skip(f"{error.name} is not installed")
    example.namespace["_printed"] = printed.getvalue()


def compare(example: Example) -> str | None:
    """What the python block above printed must be what the page shows."""
    printed, shown = example.namespace.pop("_printed", ""), example.parsed
    if printed is None:
        pytest.skip("the block above was skipped")
    return None if printed.strip() == shown.strip() else f"the page shows\n{shown}\nbut the block printed\n{printed}"


def begin(namespace: dict[str, Any]) -> None:
    """A temporary directory with the data files; pictures are drawn without a screen."""
    namespace["_home"], namespace["_folder"] = os.getcwd(), tempfile.mkdtemp()
    namespace["_variables"] = set(os.environ)
    for path in TUTORIALS.glob("*.csv"):
        shutil.copy(path, namespace["_folder"])
    os.chdir(namespace["_folder"])
    matplotlib.use("Agg")


def end(namespace: dict[str, Any]) -> None:
    """Leave no trace."""
    plt.close("all")
    plt.rcdefaults()
    for name in set(os.environ) - namespace["_variables"]:  # those that Dask sets for its workers
        del os.environ[name]
    os.chdir(namespace["_home"])
    shutil.rmtree(namespace["_folder"])


PAGES = Sybil(
    parsers=[CodeBlockParser(language="python", evaluator=run), CodeBlockParser(language="text", evaluator=compare)],
    patterns=[
        *("tutorials/*.md", "checkpoints.md", "estimators.md", "explanations.md", "onnx.md", "own-backend.md"),
        *("searches.md", "stacks.md", "tables.md", "tabular.md", "trackers.md", "coming-from/*.md"),
        *(["compiler.md"] if find_compiler() else []),
    ],
    setup=begin,
    teardown=end,
)

pytest_collect_file = PAGES.pytest()
