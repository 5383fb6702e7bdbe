"""The formulas that a lesson shows, as expressions: they are printed for the reader, and tests evaluate them.

In a layer's formulas x and y are its input and output, dx and dy the gradients of the loss with respect to them, all
with one row of numbers for each row of data. ``*`` is entry by entry, ``@`` the matrix product. Several lines are
computed one after the other.
"""

from typing import NamedTuple

from mlpcore.layers import (
    ELU,
    GELU,
    SELU,
    Identity,
    LeakyReLU,
    Linear,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from mlpcore.layers.rectifiers import SELU_ALPHA, SELU_SCALE
from mlpcore.losses import HalfSquaredError, SigmoidCrossEntropy, SoftmaxCrossEntropy
from mlpcore.optimizers import SGD

Lines = tuple[tuple[str, str], ...]  # pairs of what is computed, and the expression


class Formulas(NamedTuple):
    """What a part computes forward and backward, and a sentence on each of the two."""

    forward: Lines
    backward: Lines
    forward_words: str
    backward_words: str


CONSTANTS = {"alpha": SELU_ALPHA, "scale": SELU_SCALE}  # of SELU
SLOPE_WORDS = "The gradient is multiplied by the slope of the function at the number that went in"

LINEAR = Formulas(
    (("y", "x @ W + b"),),
    (("dW", "x.T @ dy"), ("db", "sum_rows(dy)"), ("dx", "dy @ W.T")),
    "Each neuron multiplies every number that comes in by a weight, adds the products up, and adds its bias.",
    "A weight that carried a large number, to a neuron whose gradient is large, has a large gradient: the product of "
    "the two. What the layer got as input receives its share of the gradient through the same weights.",
)
ACTIVATIONS: dict[type, Formulas] = {
    Identity: Formulas((("y", "x"),), (("dx", "dy"),), "The numbers pass unchanged.", "So does the gradient."),
    ReLU: Formulas(
        (("y", "max(x, 0)"),),
        (("dx", "dy * where(x > 0, 1, 0)"),),
        "Negative numbers become zero.",
        "The gradient passes where the number was positive, and is zero elsewhere: such a neuron learns nothing from "
        "this row.",
    ),
    LeakyReLU: Formulas(
        (("y", "where(x > 0, x, 0.01 * x)"),),
        (("dx", "dy * where(x > 0, 1, 0.01)"),),
        "Negative numbers become small.",
        "The gradient passes where the number was positive, and a hundredth of it elsewhere.",
    ),
    ELU: Formulas(
        (("y", "where(x > 0, x, exp(x) - 1)"),),
        (("dx", "dy * where(x > 0, 1, exp(x))"),),
        "Negative numbers are bent smoothly towards −1.",
        f"{SLOPE_WORDS}.",
    ),
    SELU: Formulas(
        (("y", "scale * where(x > 0, x, alpha * (exp(x) - 1))"),),
        (("dx", "dy * (scale * where(x > 0, 1, alpha * exp(x)))"),),
        f"As ELU, with the two constants λ = {SELU_SCALE:.4f} and α = {SELU_ALPHA:.4f}, which keep the size of the "
        "numbers from layer to layer.",
        f"{SLOPE_WORDS}.",
    ),
    GELU: Formulas(
        (("y", "x * Phi(x)"),),
        (("dx", "dy * (Phi(x) + x * phi(x))"),),
        "Each number is multiplied by Φ, the share of a standard normal distribution that lies below it.",
        f"{SLOPE_WORDS}; φ is the normal density.",
    ),
    SiLU: Formulas(
        (("s", "sigma(x)"), ("y", "x * s")),
        (("dx", "dy * (s + x * s * (1 - s))"),),
        "Each number is multiplied by its sigmoid σ, a number between 0 and 1.",
        f"{SLOPE_WORDS}.",
    ),
    Mish: Formulas(
        (("s", "tanh(log(1 + exp(x)))"), ("y", "x * s")),
        (("dx", "dy * (s + x * (1 - s**2) * sigma(x))"),),
        "A smooth relative of the rectifier; σ is the sigmoid.",
        f"{SLOPE_WORDS}.",
    ),
    Softplus: Formulas(
        (("y", "log(1 + exp(x))"),),
        (("dx", "dy * sigma(x)"),),
        "A rectifier with a rounded corner.",
        f"{SLOPE_WORDS}; that is the sigmoid σ, a number between 0 and 1.",
    ),
    Sigmoid: Formulas(
        (("y", "1 / (1 + exp(-x))"),),
        (("dx", "dy * y * (1 - y)"),),
        "Every number becomes one between 0 and 1.",
        f"{SLOPE_WORDS}. It is at most 1/4, and almost 0 where the output is near 0 or 1: there the neuron hardly "
        "learns.",
    ),
    Tanh: Formulas(
        (("y", "tanh(x)"),),
        (("dx", "dy * (1 - y**2)"),),
        "Every number becomes one between −1 and 1.",
        f"{SLOPE_WORDS}. It is 1 at zero, and almost 0 where the output is near −1 or 1: there the neuron hardly "
        "learns.",
    ),
}
# z are the scores, t the target, p the prediction and L the loss of the row.
LOSSES: dict[type, Formulas] = {
    SigmoidCrossEntropy: Formulas(
        (("p", "1 / (1 + exp(-z))"), ("L", "-t * log(p) - (1 - t) * log(1 - p)")),
        (("dz", "p - t"),),
        "The score becomes a probability p. The loss is small if p is near the target t, which is 0 or 1, and large if "
        "the network was sure of the wrong answer.",
        "Here the backward pass begins. The gradient is simply the error: prediction minus target.",
    ),
    SoftmaxCrossEntropy: Formulas(
        (("p", "exp(z) / sum(exp(z))"), ("L", "-sum(t * log(p))")),
        (("dz", "p - t"),),
        "The scores become probabilities, which add up to 1. The target is 1 for the right class and 0 for the others, "
        "so that the loss is minus the logarithm of the probability of the right class.",
        "Here the backward pass begins. The gradient is simply the error: prediction minus target.",
    ),
    HalfSquaredError: Formulas(
        (("p", "z"), ("L", "sum((p - t)**2) / 2")),
        (("dz", "p - t"),),
        "The score is the prediction. The loss is half the square of its distance to the target.",
        "Here the backward pass begins. The gradient is simply the error: prediction minus target.",
    ),
}
UPDATES: dict[type, Lines] = {SGD: (("W", "W - rate * dW"), ("b", "b - rate * db"))}


def formulas_of(layer: object) -> Formulas:
    """The formulas of a layer."""
    return LINEAR if isinstance(layer, Linear) else ACTIVATIONS[type(layer)]
