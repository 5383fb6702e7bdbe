"""A layer as a user writes one: a file of its own, with nothing but the standard's functions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace


@dataclass(frozen=True)
class Ripple:
    """``y = gain * (atan(u) + 0.3 sin(u)^2)`` for the row ``u = x / r``, ``r = sqrt(1 + mean(x^2))``.

    With ``du = gain * dy * (1 / (1 + u^2) + 0.3 sin(2 u))``::

        dx = (du - u * mean(du * u)) / r       dgain = sum(dy * (atan(u) + 0.3 sin(u)^2))

    the means over the columns, the sum over the rows. Shapes: x and y (..., n, features), ``gain`` (..., features).
    """

    features: int

    row_independent = True

    def output_width(self, n_in: int | None) -> int:
        """As many columns as there are gains."""
        return self.features

    def init(self, rng: Any, dtype: str) -> dict[str, Any]:
        """A ``gain`` of ones."""
        return {"gain": np.ones(self.features, dtype)}

    def noise(self, stream: Any, shape: Any, dtype: str) -> tuple:
        """None is needed."""
        return ()

    def forward(self, params: Any, x: Any, training: Any = None) -> tuple[Any, Any]:
        """The formula; u and r are what `backward` needs."""
        xp = array_namespace(x)
        r = xp.sqrt(1 + xp.mean(x * x, axis=-1, keepdims=True))
        u = x / r
        return _wave(xp, u) * params["gain"][..., None, :], (u, r)

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> tuple[Any, dict[str, Any]]:
        """The formulas above."""
        xp, (u, r) = array_namespace(dy), cache
        grads = {"gain": xp.sum(dy * _wave(xp, u), axis=-2)}
        if not need_dx:
            return None, grads
        du = dy * params["gain"][..., None, :] * (1 / (1 + u * u) + 0.3 * xp.sin(2 * u))
        return (du - u * xp.mean(du * u, axis=-1, keepdims=True)) / r, grads


def _wave(xp: Any, u: Any) -> Any:
    return xp.atan(u) + 0.3 * xp.sin(u) ** 2
