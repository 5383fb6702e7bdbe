"""The settings of a training as texts by name, as trackers show them beside the numbers."""

import dataclasses
from typing import Any

from mlpcore.training.events import Report


def settings(report: Report) -> dict[str, str]:
    """Network, loss, optimizer, batch size and the other arguments of model and fit, as texts by name.

    The fields of the optimizer stand alone too, such as ``optimizer.learning_rate``, so that runs can be compared by
    them. Settings that are off (None and 0) are left out.
    """
    model = report.model
    values: dict[str, Any] = {"network": model.net, "loss": model.loss, "optimizer": type(model.optimizer).__name__}
    if dataclasses.is_dataclass(model.optimizer):
        fields = dataclasses.fields(model.optimizer)
        values |= {f"optimizer.{field.name}": getattr(model.optimizer, field.name) for field in fields}
    values |= {name: value for name, value in model.rules._asdict().items() if value}
    parameters = sum(slot.stop - slot.start for slot in model.layout.slots.values())
    values |= {"batch_size": report.batch_size, "epochs": report.epochs, "parameters": parameters}
    values |= {"backend": model.backend.name}
    values |= {name: getattr(model, name) for name in ("dtype", "precision", "seed")}
    return {name: value if isinstance(value, str) else repr(value) for name, value in values.items()}
