"""Recipes of ``mlpcore train``: network and settings, and the training."""

import math
from typing import Any

from mlpcore.backends.backend import Backend
from mlpcore.cli.parts import Parts
from mlpcore.configuration import check_count, check_number, configuration
from mlpcore.layers import Dropout, Linear, ReLU, Sequential
from mlpcore.losses import HalfSquaredError, SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import AdamW
from mlpcore.training.callbacks import EarlyStopping
from mlpcore.training.history import History


@configuration
class Preset:
    """All settings of a training run except its data, seed and machine.

    ``batch_size=None`` means a hundredth of the rows as a power of two from 32 to 1024. ``validation`` is the share of
    rows for early stopping: ``patience`` epochs without a lower loss end training, and the best weights are kept.
    """

    hidden: tuple[int, ...]
    epochs: int
    patience: int
    batch_size: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    input_dropout: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    validation: float = 0.1

    def __post_init__(self) -> None:
        check_count("mlpcore train", epochs=self.epochs, patience=self.patience)
        check_count("mlpcore train", **{f"hidden[{i}]": width for i, width in enumerate(self.hidden)})
        check_number("mlpcore train", validation=self.validation, least=0, below=1)
        check_number("mlpcore train", learning_rate=self.learning_rate, above=0)
        if self.batch_size is not None:
            check_count("mlpcore train", batch_size=self.batch_size)

    def network(self, inputs: int, outputs: int) -> Sequential:
        """The network: Linear, ReLU and Dropout for every hidden layer, and a Linear layer for the scores."""
        layers: list[Any] = [Dropout(self.input_dropout)] if self.input_dropout else []
        for width in self.hidden:
            layers += [Linear(inputs, width), ReLU(), *([Dropout(self.dropout)] if self.dropout else [])]
            inputs = width
        return Sequential(*layers, Linear(inputs, outputs))


TABLE = Preset(hidden=(128, 128), epochs=200, patience=20)
# Chosen on other test splits (random_state 1 to 5) than that of mlpcore train digits.
DIGITS = Preset(
    hidden=(256, 256),
    epochs=60,
    patience=20,
    batch_size=128,
    learning_rate=2e-3,
    input_dropout=0.1,
    dropout=0.3,
    label_smoothing=0.1,
)


def build(recipe: Preset, parts: Parts, backend: Backend, dtype: str, precision: str, seed: int) -> Model:
    """The untrained model for the parts."""
    classes = len(parts.description.target.labels)
    return Model(
        recipe.network(parts.train[0].shape[1], classes or 1),
        SoftmaxCrossEntropy(label_smoothing=recipe.label_smoothing) if classes else HalfSquaredError(),
        AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay),
        backend=backend,
        dtype=dtype,
        precision=precision,
        metrics=["accuracy" if classes else "r2"],
        seed=seed,
    )


def fit(model: Model, recipe: Preset, parts: Parts, callbacks: tuple = ()) -> History:
    """Train the model, with early stopping if there are validation rows."""
    rows = len(parts.train[0])
    default_batch_size = 2 ** min(10, max(5, round(math.log2(rows / 100)) if rows > 100 else 5))
    stopping = [EarlyStopping(patience=recipe.patience)] if parts.validation else []
    return model.fit(
        *parts.train,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size or default_batch_size,
        validation_data=parts.validation,
        callbacks=[*callbacks, *stopping],
    )
