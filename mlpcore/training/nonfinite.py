"""The errors for a loss, gradient or update that is not finite."""

from mlpcore.errors import NonFiniteError


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
