"""RealMLP: one network with inputs that are scaled, embedded and selected by training, and strong schedules."""

from dataclasses import replace

from mlpcore.configuration import check_choice, check_count, check_number, configuration
from mlpcore.initializers import Normal, Zeros
from mlpcore.layers import (
    SELU,
    Concat,
    Dropout,
    Identity,
    Linear,
    Mish,
    NTKLinear,
    Parametric,
    PeriodicEmbedding,
    Rates,
    Scale,
    Sequential,
)
from mlpcore.optimizers import Adam
from mlpcore.schedules import CosLog, FlatCosine
from mlpcore.tabular.inputs import input_layers, piecewise
from mlpcore.tabular.recipe import Recipe, TableShape, steps_of
from mlpcore.typing import Layer


@configuration
class RealMLP:
    """The recipe RealMLP-TD; every ingredient is a field, and `SIMPLE` in `mlpcore.tabular.recipes` is RealMLP-TD-S.

    - ``class_rate``, ``regression_rate``: learning rates of the two tasks, the peaks of `CosLog`
    - ``embedding`` of numbers: "periodic", "piecewise" (by quantiles) or "none"
    - ``largest_one_hot``: categories with more levels have learned vectors of 8 numbers; None: all are one-hot
    - ``front_scale``: `Scale` behind the inputs, with 6 times the rate and 36 times the decay
    - ``ntk``: `NTKLinear` with standard normal weights; False: `Linear`
    - ``parametric``: activations, SELU for classes and else Mish, with a learned share
    - ``from_data``: initial values fitted to the rows; False: normal biases, and zeros in the last layer
    - ``dropout``, ``weight_decay``: constant for half of the steps, then falling to 0; biases do not decay
    - ``label_smoothing`` of classes, in training
    - ``clamp``: in regression, predictions stay in the range of the training target

    Differences to the authors' package: the smaller last batch of an epoch is trained too; ``from_data`` and ``clamp``,
    which it has, are off, as on eleven tables neither lowered the error.

    Source: Holzmüller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data".
    """

    hidden: tuple[int, ...] = (256, 256, 256)
    class_rate: float = 0.04
    regression_rate: float = 0.2
    embedding: str = "periodic"
    largest_one_hot: int | None = 8
    front_scale: bool = True
    ntk: bool = True
    parametric: bool = True
    from_data: bool = False
    dropout: float = 0.15
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    clamp: bool = False
    batch_size: int = 256
    epochs: int = 256

    def __post_init__(self) -> None:
        check_choice(self, ("periodic", "piecewise", "none"), embedding=self.embedding)
        check_number(self, dropout=self.dropout, least=0, below=1)
        check_number(self, weight_decay=self.weight_decay, least=0)
        check_count(self, batch_size=self.batch_size, epochs=self.epochs)
        for width in self.hidden:
            check_count(self, hidden=width)

    def build(self, shape: TableShape, x: object) -> Recipe:
        """The recipe for a table of this shape with the training rows x (n, columns) on the host."""
        rows = shape.rows(x)
        steps = steps_of(len(rows), self.batch_size, self.epochs)
        numbers = {"periodic": _periodic, "piecewise": piecewise(rows, 48, 4), "none": None}[self.embedding]
        inputs = input_layers(shape, rows, numbers, largest_one_hot=self.largest_one_hot)
        width = sum(inputs.groups)
        front = [Rates(Scale(width), rate=6.0, decay=6.0)] if self.front_scale else []
        rate = self.class_rate if shape.classes else self.regression_rate
        return Recipe(
            Sequential(inputs.layer, *front, self._hidden(shape, width, steps)),
            shape.loss(self.label_smoothing),
            Adam(
                CosLog(rate, steps),
                beta2=0.95,
                weight_decay=FlatCosine(self.weight_decay, steps) if self.weight_decay else 0.0,
            ),
            self.batch_size,
            self.epochs,
            clamp=self.clamp and not shape.classes,
            from_data=self.from_data,
        )

    def _hidden(self, shape: TableShape, width: int, steps: int) -> Layer:
        """The hidden layers and the last one; biases learn at a tenth of the rate."""
        layers, activation = list[Layer](), SELU() if shape.classes else Mish()
        linear = NTKLinear if self.ntk else Linear
        biases = Normal() if self.ntk and not self.from_data else Zeros()
        for size in self.hidden:
            layers.append(linear(width, size, bias_init=biases))
            layers.append(Rates(Parametric(activation, size), rate=0.1, decay=0.1) if self.parametric else activation)
            if self.dropout:
                layers.append(Dropout(FlatCosine(self.dropout, steps)))
            width = size
        last = linear(width, shape.outputs)
        layers.append(last if self.from_data or not self.ntk else replace(last, weight_init=Zeros()))
        return Rates(Sequential(*layers), rate=0.1, decay=0.0, leaves=("bias",))


def _periodic(count: int) -> Layer:
    """The embedding PBLD: cosines of each number, and the number itself."""
    return Concat(Rates(PeriodicEmbedding(count), rate=0.1, decay=0.1), Identity())
