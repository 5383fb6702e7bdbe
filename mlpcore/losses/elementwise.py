"""The base class of losses with one score per target column; a subclass defines function and derivative together."""

from typing import Any

from mlpcore.losses.targets import real_columns
from mlpcore.namespace import namespace
from mlpcore.numerics import apply_weights
from mlpcore.typing import Array


class ElementwiseLoss:
    """Abstract: a row's loss is ``sum_j f(z_j, t_j)`` over its columns, its gradient ``dz_j = f'(z_j, t_j)``.

    A subclass defines ``pointwise(z, t) -> (f, f')``. Shapes: z and dz (..., n, c), target (n, c), weights (n,) of rows
    or (n, c) of entries, value (...). A target of shape (n,) is taken as one column.
    """

    entry_weights = True

    def pointwise(self, z: Array, t: Array) -> tuple[Array, Array]:
        """``f(z, t)`` and its derivative with respect to z, for every entry."""
        raise NotImplementedError

    def outputs(self, target_columns: int) -> int:
        """One score per target column."""
        return target_columns

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """The target as (n, c) of ``dtype``; DataError unless it holds finite real numbers."""
        return real_columns(self, target, outputs, dtype)

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """``sum_i w_i sum_j f(z_ij, t_ij)`` and ``w_i f'(z_ij, t_ij)``, or the same with ``w_ij``."""
        losses, dz = self.pointwise(z, target)
        if weights.ndim == 1:
            losses = namespace(z).sum(losses, axis=-1)
        return apply_weights(weights, losses, dz)

    def predict(self, z: Array) -> Array:
        """The scores themselves: the link is the identity."""
        return z
