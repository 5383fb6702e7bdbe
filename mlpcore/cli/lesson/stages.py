"""The panels of a lesson, one for each part of the network, and the steps through them: forward, then backward.

A panel has two columns: what its part computes forward, and what it computes backward. The page's script fills in the
numbers, where an element has the attribute ``data-array`` or ``data-number``.
"""

from typing import Any, NamedTuple

from mlpcore.cli.lesson.formulas import LOSSES, UPDATES, Formulas, Lines, formulas_of
from mlpcore.cli.lesson.mathml import formula, inline, symbol
from mlpcore.cli.lesson.network import Lesson
from mlpcore.cli.lesson.passes import array_names
from mlpcore.cli.report.markup import escape, number, paragraph
from mlpcore.layers import Linear


class Step(NamedTuple):
    """A step: the number of its panel, its direction, what it is called, and what the drawing shows.

    ``nodes`` are the names of the arrays in the columns of neurons, "" for none, ``edges`` those between the columns,
    and ``active`` the number of the column where something happens.
    """

    panel: int
    direction: str
    title: str
    nodes: list[str]
    edges: list[str]
    active: int


def sign(name: str) -> str:
    """The MathML of an array of `mlpcore.cli.lesson.passes.row_numbers`: z₁ for "z1", ∂L/∂z₁ for "dz1"."""
    letters = name.rstrip("0123456789")
    layer: int | str = int(name[len(letters) :]) if name != letters else ""
    if letters.startswith("new_"):
        return f"<msubsup><mi>{letters[4:]}</mi><mn>{layer}</mn><mtext>new</mtext></msubsup>"
    if letters.startswith("d"):
        return symbol(letters[1:], layer, "L")
    return symbol(letters, layer)


def panels(lesson: Lesson) -> list[str]:
    """The panels of the row, of every layer, of the loss and of the update, as HTML."""
    names, count = array_names(lesson.layers), 0
    parts = [_row_panel()]
    for layer, (before, after) in zip(lesson.layers, names, strict=True):
        count += isinstance(layer, Linear)
        parts.append(_layer_panel(layer, before, after, count))
    return [*parts, _loss_panel(lesson, names[-1][1]), _update_panel(lesson, count)]


def steps(lesson: Lesson) -> list[Step]:
    """The steps in their order: the row, forward, the loss, backward, the update."""
    layers, names, last = lesson.layers, array_names(lesson.layers), len(lesson.widths) - 1
    nodes, edges = ["x", *[""] * last], [f"W{k}" for k in range(1, last + 1)]
    found = [Step(0, "forward", "the row", [*nodes], [*edges], 0)]
    for i, layer in enumerate(layers, start=1):
        after = names[i - 1][1]
        column = int(after[1:])
        nodes[column] = after
        found.append(Step(i, "forward", f"forward, {_title(layer, column)}", [*nodes], [*edges], column))
    loss = len(layers) + 1
    found.append(Step(loss, "forward", "forward, the loss", [*nodes[:-1], "p"], [*edges], last))
    nodes = ["x", *[""] * (last - 1), f"d{names[-1][1]}"]
    edges = [""] * last
    found.append(Step(loss, "backward", "backward, the loss", [*nodes], [*edges], last))
    for i in reversed(range(1, len(layers) + 1)):
        before, after = names[i - 1]
        column = int(after[1:])
        if isinstance(layers[i - 1], Linear):
            edges[column - 1] = f"dW{column}"
        if before != "x":
            nodes[int(before[1:])] = f"d{before}"
        title = f"backward, {_title(layers[i - 1], column)}"
        found.append(Step(i, "backward", title, [*nodes], [*edges], column))
    new = [f"new_W{k}" for k in range(1, last + 1)]
    return [*found, Step(loss + 1, "backward", "the update", [*nodes], new, last)]


def _title(layer: Any, number_of_layer: int) -> str:
    kind = "weights and bias" if isinstance(layer, Linear) else type(layer).__name__
    return f"layer {number_of_layer}: {kind}"


def _row_panel() -> str:
    words = (
        "One row of the data goes through the network: its numbers are the input "
        f"{inline(sign('x'))}, and {inline(sign('t'))} is the target, what the network should say of it. On this page "
        "every array has one row, as one row of the data is followed; in training it has a row for each of a batch."
    )
    return _panel("The row", _column("", "", [paragraph(words), _arrays("x", "t")]))


def _layer_panel(layer: Any, before: str, after: str, count: int) -> str:
    formulas, linear = formulas_of(layer), isinstance(layer, Linear)
    names = {"x": sign(before), "y": sign(after), "dx": sign(f"d{before}"), "dy": sign(f"d{after}")}
    names |= {name: sign(f"{name}{count}") for name in ("W", "b", "dW", "db")}
    weights = [f"W{count}", f"b{count}"] if linear else []
    gradients = [f"dW{count}", f"db{count}"] if linear else []
    needed = before != "x"  # a gradient with respect to the data changes nothing
    backward = [line for line in formulas.backward if needed or line[0] != "dx"]
    more = (
        [] if needed else [paragraph("The gradient with respect to the row itself is not needed: data do not learn.")]
    )
    if linear:
        more.append(_check(count))
    left = [*_formulas(formulas.forward, names), _arrays(before, *weights, after)]
    results = [*gradients, *([f"d{before}"] if needed else [])]
    right = [*_formulas(tuple(backward), names), _arrays(f"d{after}", *results), *more]
    return _panel(
        _title(layer, count).replace("layer", "Layer", 1),
        _column("forward", formulas.forward_words, left),
        _column("backward", formulas.backward_words, right),
    )


def _loss_panel(lesson: Lesson, scores: str) -> str:
    formulas: Formulas = LOSSES[type(lesson.model.loss)]
    names = {"z": sign(scores), "dz": sign(f"d{scores}")}
    left = [*_formulas(formulas.forward, names), _arrays(scores, "p", "t", "L")]
    right = [*_formulas(formulas.backward, names), _arrays(f"d{scores}")]
    return _panel(
        "The loss",
        _column("forward", formulas.forward_words, left),
        _column("backward", formulas.backward_words, right),
    )


def _update_panel(lesson: Lesson, count: int) -> str:
    rate, batch = number(lesson.rate).rstrip("0").rstrip("."), min(lesson.batch_size, len(lesson.rows.train[0]))
    averaged = (
        "In this training every row makes an update."
        if batch == 1
        else f"In this training the gradients of a batch of {batch} rows were averaged for each update; shown is the "
        "update that this row alone would make."
    )
    words = (
        "Every weight takes a small step against its gradient, which is downhill. The learning rate "
        f"{inline(symbol('η'))} = {rate} says how small. {averaged} With it the loss of this row goes from "
        '<output data-number="L"></output> to <output data-number="new_L"></output>.'
    )
    parts = [paragraph(words)]
    for k in range(1, count + 1):
        names = {name: sign(f"{name}{k}") for name in ("W", "b", "dW", "db")}
        parts += _formulas(UPDATES[type(lesson.model.optimizer)], names, "←")
        parts.append(_arrays(f"W{k}", f"dW{k}", f"new_W{k}", f"b{k}", f"db{k}", f"new_b{k}"))
    return _panel("The update", _column("", "", parts))


def _check(k: int) -> str:
    """The comparison of a gradient with the slope that was measured."""

    def place(entry: int, kind: str = "") -> str:
        return f'<output data-number="measured{k}" data-entry="{entry}"{kind}></output>'

    whole = ' data-whole="yes"'
    return paragraph(
        f"<strong>Measured:</strong> where the weight in row {place(0, whole)} and column {place(1, whole)} of "
        f"{inline(sign(f'W{k}'))} is made a little larger and smaller, the loss changes by {place(2)} per unit. By the "
        f"formula it is {place(3)}."
    )


def _panel(title: str, *columns: str) -> str:
    kind = "panel pair" if len(columns) > 1 else "panel"
    return f'<article class="{kind}">\n<h3>{escape(title)}</h3>\n' + "\n".join(columns) + "\n</article>"


def _column(direction: str, words: str, parts: list[str]) -> str:
    head = f"<h4>{direction.capitalize()}</h4>\n<p>{words}</p>" if direction else ""
    return "\n".join([f'<div class="side {direction}">', *filter(None, [head, *parts]), "</div>"])


def _formulas(lines: Lines, names: dict[str, str], relation: str = "=") -> list[str]:
    return [formula(result, expression, names, relation) for result, expression in lines]


def _arrays(*names: str) -> str:
    """Places for arrays, which the script fills with tables."""
    figures = (
        f'<figure class="array" data-array="{name}"><figcaption><math displaystyle="true">{sign(name)}</math>'
        '<span></span></figcaption><div class="scroll"></div></figure>'
        for name in names
    )
    return "\n".join(['<div class="arrays">', *figures, "</div>"])
