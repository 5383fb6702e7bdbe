"""scikit-learn's own callbacks (`sklearn.callback`, scikit-learn 1.9 and later): a task for every epoch of a fit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlpcore.sklearn.constraints import FULL_BATCH
from mlpcore.training.events import Report, Stop

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for scikit-learn's class, which adds ``set_callbacks``."""


Attributes = Callable[[Any], dict[str, Any]]


class EpochTasks:
    """A callback of mlpcore that calls those of scikit-learn at the beginning and end of every epoch.

    ``data`` are the keyword arguments X, y and metadata of scikit-learn's hooks. ``attributes(model)`` returns the
    fitted attributes with which a copy of the estimator predicts as the model does; scikit-learn asks for them where a
    callback wants to have them. A hook that returns True ends the fit.
    """

    def __init__(self, context: Any, estimator: Any, data: dict[str, Any], attributes: Attributes) -> None:
        self._context, self._estimator, self._data, self._attributes = context, estimator, data, attributes
        self._task: Any = None
        self._left = 0  # epochs that may still begin

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Begin the task of the first epoch."""
        self._left = epochs
        self._begin(model)

    def on_epoch_end(self, report: Report) -> Stop | None:
        """End the task of the epoch, and begin that of the next one."""
        stop = self._end(report.model)
        self._begin(report.model)
        return Stop("a callback of scikit-learn has ended the fit") if stop else None

    def on_fit_end(self, model: Any) -> None:
        """End the task of an epoch that was not trained to its end."""
        if self._task is not None:
            self._task.call_on_fit_task_end(estimator=self._estimator, **self._data)
            self._task = None

    def _begin(self, model: Any) -> None:
        if self._left:
            self._left -= 1
            self._task = self._context.subcontext(task_name="epoch")
            self._task.call_on_fit_task_begin(estimator=self._estimator, **self._known(model))

    def _end(self, model: Any) -> bool:
        task, self._task = self._task, None
        return bool(task.call_on_fit_task_end(estimator=self._estimator, **self._known(model)))

    def _known(self, model: Any) -> dict[str, Any]:
        return self._data | {"reconstruction_attributes": lambda: self._attributes(model)}


@contextmanager
def fit_task(estimator: Any, X: Any, y: Any, sample_weight: Any, once: bool) -> Iterator[tuple[Any, dict] | None]:
    """The context and the data of a fit for `EpochTasks`; None where its epochs have no tasks.

    These are fits without scikit-learn's callbacks, with ``once`` (a partial fit), by lbfgs, and of ensembles. The end
    of a fit is announced if it succeeds; what must be done in any case, scikit-learn's `_fit_context` does.
    """
    if once or not hasattr(estimator, "_init_callback_context"):
        yield None
        return
    data = {"X": X, "y": y, "metadata": None if sample_weight is None else {"sample_weight": sample_weight}}
    leaf = estimator.solver == FULL_BATCH or estimator.n_members > 1
    context = estimator._init_callback_context(max_subtasks=0 if leaf else estimator.max_iter)
    context.call_on_fit_task_begin(estimator=estimator, **data)
    yield None if leaf or not hasattr(estimator, "_skl_callbacks") else (context, data)
    context.call_on_fit_task_end(estimator=estimator, **data, reconstruction_attributes=dict)
