"""MembersLoss: the loss of a network of several members, see `mlpcore.layers.members`."""

from typing import Any

from mlpcore.configuration import check_count, configuration
from mlpcore.errors import ConfigurationError
from mlpcore.losses.mixture import mixture
from mlpcore.losses.targets import target_columns
from mlpcore.namespace import namespace
from mlpcore.typing import Array, Loss, Tree, follows


@configuration
class MembersLoss:
    """The mean of the losses of ``count`` members, each on its own scores; the prediction is the mean of theirs.

    z (..., n, count * c) holds the scores of the members one beside the other, as `Members` gives them. Targets and
    weights are those of the inner loss. A member's gradient is that of its own loss divided by ``count``. Predictions,
    such as probabilities, are averaged after the link, pairs (mean, variance) as a mixture.
    """

    loss: Loss
    count: int

    def __post_init__(self) -> None:
        if not follows(self.loss, Loss):
            raise ConfigurationError(f"MembersLoss: {self.loss!r} is not a loss; write MembersLoss(SquaredError(), 32)")
        check_count(self, count=self.count)

    @property
    def entry_weights(self) -> bool:
        """Whether the inner loss takes weights of the entries of the target."""
        return getattr(self.loss, "entry_weights", False)

    def outputs(self, target_columns: int) -> int:
        """``count`` times those of the inner loss."""
        return self.count * self.loss.outputs(target_columns)

    def prepare(self, target: Array, outputs: int, dtype: Any) -> Array:
        """The target as the inner loss prepares it for the scores of a member."""
        return self.loss.prepare(target, target_columns(self, outputs, self.count), dtype)

    def value_and_grad(self, z: Array, target: Array, weights: Array) -> tuple[Array, Array]:
        """The inner loss of a stack of members: the mean of its values, and its gradients divided by ``count``."""
        xp = namespace(z)
        value, dz = self.loss.value_and_grad(self._members(z), target, weights)
        dz = xp.reshape(xp.moveaxis(dz, 0, -2), z.shape)
        return xp.sum(value, axis=0) / self.count, dz / self.count

    def predict(self, z: Array) -> Tree:
        """The mean of the members' predictions."""
        scores = self._members(z)
        return mixture([self.loss.predict(scores[i, ...]) for i in range(self.count)])

    def _members(self, z: Array) -> Array:
        """The scores (count, ..., n, c)."""
        xp = namespace(z)
        return xp.moveaxis(xp.reshape(z, (*z.shape[:-1], self.count, z.shape[-1] // self.count)), -2, 0)
