"""Two dense layers with others between them, rows and labels for them, and a layer that cannot be traced."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import mlpcore as mc
from mlpcore.random import Stream

ROWS, WIDTH = 29, 5
X, LABELS = Stream(1, "x").normal((ROWS, WIDTH)), (Stream(2).bits(ROWS) % np.uint64(3)).astype("int64")


def deep(*between: Any) -> mc.Sequential:
    """Two dense layers and what lies between them."""
    return mc.Sequential(mc.Linear(WIDTH, 7), *between, mc.Linear(7, 3))


@dataclass(frozen=True)
class Looking(mc.ReLU):
    """A layer that looks at numbers."""

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        """The rectifier, for what is positive somewhere."""
        return super().forward(params, x, training) if bool((x > 0).any()) else (x, x)
