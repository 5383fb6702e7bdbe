"""A measurement of the crossover as its file has it, and a cache folder for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlpcore.backends.choice import choose
from mlpcore.backends.choice.measurement import DTYPES, FORMAT, WHATS
from mlpcore.compiler import cache
from mlpcore.errors import BackendUnavailable

HERE = {"mlpcore": "1", "numpy": "2", "processor": "p", "threads": "2", "card": "Card", "driver": "3", "cupy": "14"}
choosing = choose.__globals__  # of its module, whose name in the package is the function


def document(limit: float = 1e6, **changes: Any) -> dict[str, Any]:
    """A measurement by which the GPU pays from ``limit`` FLOPs on, of everything."""
    sides = ((limit / 2, 1e-4, 4e-4), (limit * 2, 4e-4, 1e-4))
    rows = [
        {"dtype": dtype, "what": what, "flops": flops, "numpy": host, "gpu": device}
        for dtype in DTYPES
        for what in WHATS
        for flops, host, device in sides
    ]
    return {"format": FORMAT, "date": "2026-11-28", "setup": HERE, "measurements": rows} | changes


def write(folder: Path, content: Any) -> Path:
    """Write a text, or JSON values, to the file of the measurement."""
    path = folder / cache.CROSSOVER
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(0o600)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; what was warned of before is forgotten."""
    path = tmp_path / "cache"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("MLPCORE_CACHE_DIR", str(path))
    choosing["_warn_once"].cache_clear()
    return path


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A GPU that can be used, as far as the choice asks; changes to the dict take effect."""
    here = dict(HERE)
    monkeypatch.setitem(choosing, "setup", lambda device=None: here)
    return here


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU can be used."""

    def missing(device: Any = None) -> None:
        raise BackendUnavailable("backend 'cupy': there is none; buy one")

    monkeypatch.setitem(choosing, "setup", missing)
