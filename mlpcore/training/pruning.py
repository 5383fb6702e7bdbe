"""OptunaPruning: a callback by which Optuna ends the fits of a search that do not promise to become good."""

from typing import Any

from mlpcore.errors import ConfigurationError, import_extra
from mlpcore.training.events import Report, Stop
from mlpcore.training.monitor import Monitor, direction


class OptunaPruning(Monitor):
    """Report ``monitor`` of every epoch to a trial of Optuna, and end the fit if the study's pruner says so.

    The fit then raises `optuna.TrialPruned`, which ``study.optimize`` records. With ``raises=False`` it stops as by
    `EarlyStopping` and raises nothing: for the members of a `Stack`, of which one may end before the others. In both
    cases ``pruned`` is True afterwards.

    trial: The `optuna.Trial`, of a study with one objective.
    monitor: A column of the history; ``mode`` ("min", "max" or "auto": losses and errors "min") must be the study's
        direction.

    Optuna counts steps from 0: epoch 1 of the model is step 0. A resumed fit goes on at the step where it was. A trial
    has one value for each step, and so one fit: a copy of the callback (of a clone, or of a member of a stack) reports
    to the same trial, and a second fit is refused. For cross-validation report the mean so far after each fold instead.

    ConfigurationError for another direction, for several objectives and for a second fit; MissingDependency without
    Optuna.
    """

    def __init__(self, trial: Any, monitor: str = "val_loss", *, mode: str = "auto", raises: bool = True) -> None:
        super().__init__(monitor, mode)
        self._error = import_extra("optuna", "optuna", "OptunaPruning reports to Optuna, which").TrialPruned
        _check_direction(trial, monitor, direction(monitor, mode))
        self.trial, self.raises, self.pruned = trial, raises, False
        self._next_step = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "OptunaPruning":
        """The callback itself: a copy of the trial would belong to a copy of the study."""
        return self

    def on_epoch_end(self, report: Report) -> Stop | None:
        """Report the value of the epoch; TrialPruned, or Stop, if the trial should be pruned."""
        value, step = self.value(report), report.epoch - 1
        if step < self._next_step:
            raise ConfigurationError(
                f"OptunaPruning: epoch {report.epoch} was reported before, by another fit, and a trial has one value "
                "for each epoch; make one trial for each fit, or report the mean of several fits after each of them, "
                "by trial.report(mean, i)"
            )
        self._next_step = step + 1
        self.trial.report(value, step)
        if not self.trial.should_prune():
            return None
        self.pruned, reason = True, f"pruned in epoch {report.epoch}: {self.monitor} is {value:.6g}"
        if self.raises:
            raise self._error(reason)
        return Stop(reason)


def _check_direction(trial: Any, monitor: str, mode: str) -> None:
    """ConfigurationError unless the trial's study has one objective, of this direction."""
    study = getattr(trial, "study", None)  # a FixedTrial has none
    if study is None:
        return
    names = [one.name.lower() for one in study.directions]
    if len(names) > 1:
        raise ConfigurationError(
            f"OptunaPruning: the study has {len(names)} objectives, and Optuna prunes trials of one objective only; "
            "leave the callback out"
        )
    if names[0][:3] != mode:
        raise ConfigurationError(
            f'OptunaPruning: {monitor} has mode "{mode}", but the study {names[0]}s; set mode="{names[0][:3]}" if that '
            f'is meant, or optuna.create_study(direction="{mode}imize")'
        )
