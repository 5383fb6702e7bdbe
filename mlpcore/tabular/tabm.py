"""TabM-mini, many members in one network, and a plain MLP to compare with."""

from mlpcore.configuration import check_choice, check_count, check_number, configuration
from mlpcore.initializers import Normal, Repeated, Signs, Uniform
from mlpcore.layers import Dropout, Linear, Members, ReLU, Scale, Sequential, SiLU
from mlpcore.losses import MembersLoss
from mlpcore.optimizers import AdamW
from mlpcore.schedules import CosineDecay
from mlpcore.tabular.inputs import input_layers, piecewise
from mlpcore.tabular.recipe import MANY_LEVELS, Recipe, TableShape, steps_of
from mlpcore.typing import Layer


def _linear(n_in: int, n_out: int) -> Linear:
    """A Linear with torch's initial values, ``U(-1/sqrt(n_in), 1/sqrt(n_in))`` for weights and biases."""
    return Linear(n_in, n_out, weight_init=Uniform(n_in**-0.5), bias_init=Uniform(n_in**-0.5))


@configuration
class TabM:
    """The recipe TabM-mini: ``members`` networks that share all hidden layers.

    Each member multiplies the inputs by numbers of its own, at first random signs (standard normals with an embedding),
    the same for all columns of one category, and has a last layer of its own. ``embedding`` of numbers: "none" or
    "piecewise" with 48 bins, and then two hidden layers are usual. All members are trained on the same batches.

    Source: Gorishniy, Kotelnikov & Babenko (2025), "TabM: advancing tabular deep learning with parameter-efficient
    ensembling".
    """

    members: int = 32
    hidden: tuple[int, ...] = (512, 512, 512)
    embedding: str = "none"
    dropout: float = 0.1
    learning_rate: float = 0.002
    weight_decay: float = 0.0
    batch_size: int = 256
    epochs: int = 1000
    patience: int = 16

    def __post_init__(self) -> None:
        check_choice(self, ("piecewise", "none"), embedding=self.embedding)
        check_number(self, dropout=self.dropout, least=0, below=1)
        check_count(self, members=self.members, batch_size=self.batch_size, epochs=self.epochs, patience=self.patience)

    def build(self, shape: TableShape, x: object) -> Recipe:
        """The recipe for a table of this shape with the training rows x (n, columns) on the host."""
        rows = shape.rows(x)
        numbers = piecewise(rows, 48, 16) if self.embedding == "piecewise" else None
        inputs = input_layers(shape, rows, numbers, largest_one_hot=MANY_LEVELS, clip=False)
        width = sum(inputs.groups)
        start = Signs() if numbers is None else Normal()
        layers: list[Layer] = [Scale(width, Repeated(start, inputs.groups))]
        for size in self.hidden:
            layers += [_linear(width, size), ReLU(), *([Dropout(self.dropout)] if self.dropout else [])]
            width = size
        layers.append(_linear(width, shape.outputs))
        members = Members(*layers, count=self.members, own=(0, len(layers) - 1))
        return Recipe(
            Sequential(inputs.layer, members),
            MembersLoss(shape.loss(), self.members),
            AdamW(self.learning_rate, weight_decay=self.weight_decay),
            self.batch_size,
            self.epochs,
            patience=self.patience,
        )


@configuration
class PlainMLP:
    """A plain network: one-hot categories, SiLU, dropout, AdamW with a falling rate.

    Categories with more than ``largest_one_hot`` levels have learned vectors of 8 numbers.
    """

    hidden: tuple[int, ...] = (256, 256, 256)
    dropout: float = 0.2
    learning_rate: float = 0.002
    weight_decay: float = 0.02
    largest_one_hot: int | None = MANY_LEVELS
    batch_size: int = 256
    epochs: int = 100

    def __post_init__(self) -> None:
        check_number(self, dropout=self.dropout, least=0, below=1)
        check_count(self, batch_size=self.batch_size, epochs=self.epochs)

    def build(self, shape: TableShape, x: object) -> Recipe:
        """The recipe for a table of this shape with the training rows x (n, columns) on the host."""
        rows = shape.rows(x)
        inputs = input_layers(shape, rows, largest_one_hot=self.largest_one_hot)
        width, layers = sum(inputs.groups), list[Layer]()
        for size in self.hidden:
            layers += [Linear(width, size), SiLU(), *([Dropout(self.dropout)] if self.dropout else [])]
            width = size
        net = Sequential(inputs.layer, *layers, Linear(width, shape.outputs))
        rate = CosineDecay(self.learning_rate, steps_of(len(rows), self.batch_size, self.epochs))
        return Recipe(net, shape.loss(), AdamW(rate, weight_decay=self.weight_decay), self.batch_size, self.epochs)
