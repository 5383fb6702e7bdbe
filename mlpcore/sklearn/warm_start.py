"""State carried over between fits under ``warm_start`` and ``partial_fit``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mlpcore.layers import Sequential
from mlpcore.model import Model
from mlpcore.random import Stream
from mlpcore.sklearn import translation
from mlpcore.sklearn.draws import Draws
from mlpcore.sklearn.predictor import on_host, tree_from, tree_parts
from mlpcore.trees import tree_map
from mlpcore.typing import Params


@dataclass
class WarmStart:
    """The model with its optimizer state, the random numbers, the learning rate, and the factor of callbacks on it.

    ``model`` and ``draws`` are None if the next fit starts with a new optimizer state and new random numbers. The
    estimator keeps this object as ``_optimizer``, the name of the attribute in scikit-learn.
    """

    model: Model | None
    draws: Draws | None
    learning_rate: float
    factor: float = 1.0


@contextmanager
def rollback(before: WarmStart | None, draws_too: bool) -> Iterator[None]:
    """Restore the model and random numbers of an earlier fit if an exception is raised.

    The model has to be copied before, because steps overwrite its arrays. The random numbers are restored only with
    ``draws_too``, which is for a `RandomState` of the estimator's own, not the caller's.
    """
    model, draws = (None, None) if before is None else (before.model, before.draws)
    if model is not None:
        trainer = model.trainer
        with model.backend.scope(model.dtype):
            state, progress = tree_map(lambda leaf: leaf + 0, trainer.state), replace(trainer.progress)
    if draws is not None and draws_too:
        random, last = draws.random.get_state(), draws.last
    try:
        yield
    except BaseException:
        if model is not None:
            trainer.state, trainer.progress = state, progress
        if draws is not None and draws_too:
            draws.random.set_state(random)
            draws.last = last
        raise


def earlier_tree(estimator: Any, net: Sequential, n_in: int, n_out: int) -> Params:
    """The parameters of the last fit; ValueError where the arguments or the data need another network.

    Layers that are not Linear get initial parameters if only ``coefs_`` and ``intercepts_`` were set.
    """
    coefs, intercepts = on_host((tuple(estimator.coefs_), tuple(estimator.intercepts_)))
    expected = [n_in, *translation.hidden_sizes(estimator), n_out]
    fitted = [*(weight.shape[0] for weight in coefs), coefs[-1].shape[1]]
    if expected != fitted:
        raise ValueError(
            f"hidden_layer_sizes, loss and data need layers of {expected} units, but the fitted network, which "
            f"warm_start and partial_fit continue, has {fitted}; fit with warm_start=False, or a clone of the estimator"
        )
    return tree_from(net, coefs, intercepts, _other_layers(estimator, net))


def _other_layers(estimator: Any, net: Sequential) -> Sequence[Params]:
    """The parameters of the layers that are not Linear."""
    predictor = getattr(estimator, "_predictor", None)
    if predictor is None or predictor.net != net:
        return tree_parts(net, net.init(Stream(0), "float64"))[2]
    return on_host(tuple(predictor.others))


def continued(fresh: Model, old: Model, tree: Params) -> Model:
    """A model with the tree's parameters, and the optimizer state, progress and seed of the old one.

    It is the old model itself if no argument has changed, as its step is already compiled.
    """
    if fresh.specification == old.specification and _device(fresh) == _device(old):
        old.params = tree
        return old
    state, before = fresh.trainer.state, old.trainer.state
    fits = type(fresh.optimizer) is type(old.optimizer) and fresh.layout.slots == old.layout.slots
    if fits and type(state.optimizer) is type(before.optimizer):

        def moved(leaf: Any, fresh_leaf: Any) -> Any:
            return fresh.backend.asarray(old.backend.to_numpy(leaf).astype(fresh.backend.to_numpy(fresh_leaf).dtype))

        moments = tree_map(moved, before.optimizer, state.optimizer)
        count = moved(before.count, state.count)
        fresh.trainer.state = state._replace(optimizer=moments, count=count)
        fresh.trainer.progress = replace(old.trainer.progress)
    return fresh


def _device(model: Model) -> tuple[str, str]:
    """The names of backend and device."""
    return model.backend.name, str(model.backend.device)
