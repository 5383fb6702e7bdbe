"""What a chunk of steps gave, and the errors for a loss, gradient or update that is not finite."""

from typing import NamedTuple

import numpy as np

from mlpcore.errors import NonFiniteError


class ChunkResult(NamedTuple):
    """What the trainer reads on the host after a chunk of steps."""

    losses: np.ndarray  # (steps,) float64; those from a failed step on do not count
    failed: int | None  # the number in the chunk of the first step that failed; the state is that before it
    finite: bool  # whether the weights are finite; if not, an update was too large, in any of the steps

    def check(self, epoch: int, first_step: int, dtype: str) -> None:
        """NonFiniteError unless all steps succeeded; ``first_step`` is the number of steps before the chunk."""
        if not self.finite:
            raise infinite_weights(epoch, first_step + self.losses.size, dtype)
        if self.failed is not None:
            raise infinite_loss(epoch, first_step + self.failed + 1)


def infinite_weights(epoch: int, step: int, dtype: str) -> NonFiniteError:
    """The error for an update larger than ``dtype`` can hold."""
    return NonFiniteError(
        f"the weights became infinite in epoch {epoch}, at step {step} or shortly before: an update was larger than "
        f"{dtype} can hold. Make the model anew, or restore a snapshot, and take a smaller learning rate"
    )


def infinite_loss(epoch: int, step: int) -> NonFiniteError:
    """The error for a step that was skipped because its loss or gradient was not finite."""
    return NonFiniteError(
        f"the loss or its gradient became infinite or NaN in epoch {epoch}, step {step}; the model keeps the weights "
        "from before that step. Try a smaller learning rate, clip_norm=1.0, or columns scaled to similar size "
        "(mc.Standardize). Squares count too: those that optimizers such as Adam take of the gradient, and "
        "BatchNorm's variances"
    )


def nothing_learned(epoch: int, batches: int) -> NonFiniteError:
    """The error for an epoch in which every batch was skipped."""
    return NonFiniteError(
        f"in epoch {epoch} all {batches} batches were skipped, as the loss, its gradient or the update of none was "
        "finite; the model keeps the weights from before that epoch. Try a smaller learning rate, clip_norm=1.0, or "
        "columns scaled to similar size (mc.Standardize)"
    )


def not_helped(epoch: int, restores: int, cause: NonFiniteError) -> NonFiniteError:
    """The error for a fit that was not finite again after it went back as often as it may."""
    return NonFiniteError(
        f"training went back to the beginning of an epoch {restores} times, each time with half the learning rate, and "
        f"is not finite again in epoch {epoch}; the model stands at the beginning of that epoch. Try "
        f"on_nonfinite='skip' if single rows are at fault. The last cause: {cause}"
    )
