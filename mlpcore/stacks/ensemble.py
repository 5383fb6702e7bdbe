"""An ensemble: several models that predict together."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from array_api_compat import device as device_of

from mlpcore.errors import ConfigurationError
from mlpcore.files.writing import Path
from mlpcore.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.losses.mixture import mean_and_deviation, mixture
from mlpcore.losses.standardized import original
from mlpcore.memory import HostMemory
from mlpcore.model import Model
from mlpcore.namespace import namespace
from mlpcore.stacks.collection import Models
from mlpcore.trees import leaves, tree_map
from mlpcore.typing import Array, Tree


class Ensemble(Models):
    """k trained models whose predictions are averaged, for example the members of a `Stack`: ``mc.Ensemble(stack)``.

    The models may differ in everything but the kind of their loss; their predictions must have one shape. For a
    GaussianNLL the prediction is that of the mixture: the mean m of the members' means m_i, and the variance
    ``mean(v_i) + mean((m_i - m)^2)`` of members with the variances v_i.

    Source: Lakshminarayanan, Pritzel & Blundell (2017), "Simple and scalable predictive uncertainty estimation using
    deep ensembles".
    """

    def __init__(self, models: Iterable[Model]) -> None:
        super().__init__(models)
        for i, model in enumerate(self.models):
            if type(original(model.loss)) is not type(original(self.models[0].loss)):
                raise ConfigurationError(
                    f"Ensemble: member {i} has the loss {model.loss!r} and member 0 {self.models[0].loss!r}, whose "
                    "predictions do not mean the same; make an ensemble of each"
                )

    def __repr__(self) -> str:
        return f"Ensemble({len(self)} models, {self.models[0].loss!r})"

    def predict(self, x: Any, batch_size: int | None = None) -> Tree:
        """The mean of the members' predictions, (n, outputs); ``(mean, variance)`` for a GaussianNLL."""
        return mixture(self._members(x, batch_size))

    def std(self, x: Any, batch_size: int | None = None) -> Array:
        """The standard deviation (n, outputs) of the members' predictions, ``sqrt(mean((p_i - mean(p))^2))``.

        For a GaussianNLL it is that of the mixture: the root of the variance that `predict` gives.
        """
        members = self._members(x, batch_size)
        if isinstance(members[0], tuple):
            members = [(mean, namespace(mean).sqrt(variance)) for mean, variance in members]
        return mean_and_deviation(members)[1]

    def quantiles(self, x: Any, levels: Sequence[float] = (0.05, 0.5, 0.95), batch_size: int | None = None) -> Array:
        """Quantiles (levels, n, outputs) of the members' predictions; of their means for a GaussianNLL.

        Between two members they are interpolated linearly, as `numpy.quantile` does (Hyndman & Fan 1996, type 7).
        """
        if not all(isinstance(level, (int, float)) and 0 <= level <= 1 for level in levels) or not len(levels):
            raise ConfigurationError(f"quantiles: levels is {levels!r}, expected numbers from 0 to 1")
        members = stacked(self._members(x, batch_size))
        values = members[0] if isinstance(members, tuple) else members
        xp = namespace(values)
        ordered = xp.sort(values, axis=0)
        parts = []
        for level in levels:
            place = level * (len(self) - 1)
            below = min(math.floor(place), max(len(self) - 2, 0))
            above = min(below + 1, len(self) - 1)
            share = place - below
            parts.append((1 - share) * ordered[below, ...] + share * ordered[above, ...])
        return xp.stack(parts)

    def votes(self, x: Any, batch_size: int | None = None) -> Array:
        """The share of the members that choose each class, (n, classes), in the dtype of the predictions.

        A member chooses the likeliest class of a SoftmaxCrossEntropy (the first of equals), and for each column of a
        SigmoidCrossEntropy the 1 where its probability is above 1/2. ConfigurationError for other losses.
        """
        loss = self.models[0].loss
        if not isinstance(loss, (SigmoidCrossEntropy, SoftmaxCrossEntropy)):
            raise ConfigurationError(f"votes: {loss!r} has no classes, expected a cross-entropy; see quantiles and std")
        members = stacked(self._members(x, batch_size))
        xp = namespace(members)
        if isinstance(loss, SigmoidCrossEntropy):
            chosen = members > 0.5
        else:
            chosen = xp.argmax(members, axis=-1)[..., None] == xp.arange(members.shape[-1], device=device_of(members))
        return xp.mean(xp.astype(chosen, members.dtype), axis=0)

    def to_onnx(self, path: Path | None = None, *, classes: Sequence[Any] | None = None) -> Any:
        """All members and the mean of their predictions as one ONNX model, see `mlpcore.onnx.to_onnx`."""
        from mlpcore.onnx import to_onnx  # here, so that `import mlpcore` leaves the compiler out

        return to_onnx(self, path, classes=classes)

    def _members(self, x: Any, batch_size: int | None) -> list[Tree]:
        """The predictions of all members, in the library of x."""
        predictions = [model.predict(x, batch_size) for model in self.models]
        check_shapes(predictions)
        return predictions


@HostMemory()
def stacked(predictions: Sequence[Tree]) -> Tree:
    """The predictions of several models (k, n, outputs), stacked leaf by leaf."""
    return tree_map(lambda *leaves: namespace(leaves[0]).stack(list(leaves)), *predictions)


def check_shapes(predictions: Sequence[Tree]) -> None:
    """ConfigurationError where the predictions have different shapes."""
    first, *_ = shapes = [[tuple(leaf.shape) for leaf in leaves(prediction)] for prediction in predictions]
    for i, shape in enumerate(shapes):
        if shape != first:
            raise ConfigurationError(
                f"the prediction of member {i} has shape {shape[0]}, expected that of member 0, {first[0]}"
            )
