"""MLflow: a callback that writes settings, history and the trained model to a run of an MLflow tracking store."""

import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from typing import Any

from mlpcore.errors import ConfigurationError, MlpcoreWarning, import_extra
from mlpcore.trackers.parameters import settings
from mlpcore.trackers.tracker import Tracker
from mlpcore.training.events import Report

_LONGEST = 6000  # characters of a parameter that MLflow keeps


class MLflow(Tracker):
    """Write every epoch to a run of MLflow: settings as parameters, the history as metrics, the model as an artifact.

    experiment: The name of the experiment, which is made where it is missing.
    tracking_uri: Where runs are kept, such as "sqlite:///runs.db" or the address of a server. None for what MLflow is
        set to.
    run_name: The name of the run; MLflow makes one up where it is None.
    tags, params: Further tags and parameters of the run, by name.
    parent: The id of a run under which MLflow shows this one, for the fits of a search.
    artifact: The name of the model file, in mlpcore's own format, that `load` reads. It is written when the fit ends,
        with the weights that the model then has: put the callback after `EarlyStopping`, which restores the best ones.
        None for no file. A model with own layers has no such file; a warning says so.

    Metrics are the columns of the history, and ``seconds``, those since the epoch before with validation, callbacks
    and checkpoints; the step is the number of the epoch. Characters of names that MLflow refuses become ``_``. The
    attribute ``run`` is the id of the run. Its status is FAILED where the fit raised an error. A resumed fit goes on in
    its run, and writes no epoch again that is there.

    Needs the extra ``mlflow`` (MissingDependency), which brings what a store in SQLite needs too. MLflow's own errors
    (no server, a deleted experiment) end the fit.
    """

    def __init__(
        self,
        experiment: str = "Default",
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        parent: str | None = None,
        artifact: str | None = "model.safetensors",
    ) -> None:
        super().__init__()
        import_extra("mlflow.tracking", "mlflow", "MLflow writes to the package mlflow, which")
        if artifact is not None and (not artifact or os.path.basename(artifact) != artifact):
            raise ConfigurationError(f"MLflow: artifact is {artifact!r}, expected the name of a file, or None")
        self.experiment, self.tracking_uri, self.run_name, self.parent = experiment, tracking_uri, run_name, parent
        self.tags, self.params, self.artifact = dict(tags or {}), dict(params or {}), artifact
        self._error: BaseException | None = None  # one that was being handled when the fit began
        self._last_step = 0  # of a resumed run

    def on_fit_begin(self, model: Any, epochs: int) -> None:
        """Start the clock of the first epoch."""
        super().on_fit_begin(model, epochs)
        self._error = sys.exception()

    def begin(self, report: Report, values: dict[str, float]) -> str:
        """Make the run, with tags and parameters; returns its id."""
        client = self._client()
        tags = {name: str(value) for name, value in self.tags.items()}
        tags |= {} if self.parent is None else {"mlflow.parentRunId": self.parent}
        run: str = client.create_run(self._experiment_id(client), tags=tags, run_name=self.run_name).info.run_id
        params = settings(report) | {name: str(value) for name, value in self.params.items()}
        Param = import_extra("mlflow.entities", "mlflow", "").Param  # noqa: N806
        client.log_batch(run, params=[Param(_allowed(name), text[:_LONGEST]) for name, text in params.items()])
        self._last_step = 0
        return run

    def resume(self, report: Report, restored: bool) -> None:
        """Set the run to running again, and find the last epoch that it holds."""
        client = self._client()
        client.update_run(self.run, status="RUNNING")
        steps = [metric.step for metric in client.get_metric_history(self.run, "seconds")] if restored else []
        self._last_step = max(steps, default=0)

    def write(self, report: Report, values: dict[str, float]) -> None:
        """Write the metrics of the epoch, all or none of them."""
        if report.epoch <= self._last_step:
            return
        Metric, now = import_extra("mlflow.entities", "mlflow", "").Metric, int(1000 * time.time())  # noqa: N806
        metrics = [Metric(_allowed(name), float(value), now, report.epoch) for name, value in values.items()]
        self._client().log_batch(self.run, metrics=metrics)

    def end(self, model: Any) -> None:
        """Write the model file, and the status of the run."""
        client, failed = self._client(), sys.exception() not in (None, self._error)
        self._error = None
        if self.artifact is not None and not failed:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, self.artifact)
                try:
                    model.save(path)
                except ConfigurationError as error:
                    warnings.warn(f"MLflow: the run has no model file: {error}", MlpcoreWarning, stacklevel=2)
                else:
                    client.log_artifact(self.run, path)
        client.set_terminated(self.run, status="FAILED" if failed else "FINISHED")

    def _client(self) -> Any:
        return import_extra("mlflow.tracking", "mlflow", "").MlflowClient(self.tracking_uri)

    def _experiment_id(self, client: Any) -> str:
        """The id of the experiment, which is made if there is none."""
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return str(client.create_experiment(self.experiment))
            except import_extra("mlflow.exceptions", "mlflow", "").MlflowException:
                found = client.get_experiment_by_name(self.experiment)  # another process may have made it
                if found is None:
                    raise
        return str(found.experiment_id)


def _allowed(name: str) -> str:
    """The name with ``_`` for characters that MLflow refuses."""
    return re.sub(r"[^\w.\-/ ]", "_", name)
