"""Exporter: makes an ONNX model of arrays that are traced from named inputs."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from mlpcore.compiler.arrays import TracedArray
from mlpcore.compiler.graph import N, Node, Shape, Untraceable
from mlpcore.compiler.trace import Tracer
from mlpcore.errors import ConfigurationError, import_extra
from mlpcore.files.writing import Path, replace_file
from mlpcore.onnx.nodes import Nodes, is_name
from mlpcore.onnx.printer import OnnxPrinter
from mlpcore.trees import named_leaves, tree_map
from mlpcore.typing import Array, Params

PREDICTION, LABEL, PROBABILITIES = "prediction", "label", "probabilities"


class Exporter:
    """`input`, `texts` and `parameters` give traced arrays; `model` prints what is computed from them.

    ``tracer`` is their namespace.
    """

    def __init__(self) -> None:
        self.nodes = Nodes(import_extra("onnx", "onnx", "the package onnx writes ONNX models and"))
        self.tracer = Tracer()
        self._inputs: dict[str, tuple] = {}
        self._names: dict[Node, str] = {}

    def input(self, name: str, columns: int, dtype: Any) -> TracedArray:
        """The input ``name`` (n, columns) of the model."""
        return self._traced_input(name, columns, dtype, self._add_input(name, columns, dtype))

    def texts(self, name: str, numbers: Mapping[str, int]) -> TracedArray:
        """The numbers (n, 1) as int64 of the texts in the input ``name`` (n, 1), 0 for any other text."""
        value = self.nodes.node(
            "LabelEncoder",
            [self._add_input(name, 1, np.str_)],
            domain="ai.onnx.ml",
            keys_strings=list(numbers),
            values_int64s=list(numbers.values()),
            default_int64=0,
        )
        return self._traced_input(name, 1, "int64", value)

    def parameters(self, params: Params, dtype: str) -> Params:
        """Host parameters as constants, which keep their names."""
        names = {id(leaf): name for name, leaf in named_leaves(params)}

        def traced(leaf: Array) -> TracedArray:
            constant = self.tracer.asarray(np.array(leaf, dtype=dtype, order="C"))
            self._names[constant.node] = names[id(leaf)]
            return constant

        return tree_map(traced, params)

    def model(self, results: Mapping[str, TracedArray], classes: Any = None, path: Path | None = None) -> Any:
        """The model with these outputs, also written to ``path``.

        With ``classes`` the output ``label`` (n,) is the most probable class by the output ``probabilities``, unless it
        is among ``results``.
        """
        if classes is not None and LABEL not in results:
            check_labels(classes)
            self.nodes.avoid([LABEL])
        self.nodes.avoid(results)
        printer = OnnxPrinter(self.nodes, self.tracer, [array.node for array in results.values()], self._names)
        values = {name: _value(array.dtype, array.shape, printer.values[array.node]) for name, array in results.items()}
        if classes is not None and LABEL not in results:
            values = {LABEL: _most_probable(self.nodes, values[PROBABILITIES], np.asarray(classes))} | values
        exported = self.nodes.model("mlpcore", self._inputs, values)
        if path is not None:
            replace_file(path, [exported.SerializeToString()])
        return exported

    def _add_input(self, name: str, columns: int, dtype: Any) -> str:
        self._inputs[name] = _value(np.dtype(dtype), (N, columns), name)[:2]
        return self.nodes.reserve(name)

    def _traced_input(self, name: str, columns: int, dtype: Any, value: str) -> TracedArray:
        traced = self.tracer.input((N, columns), dtype, name)
        self._names[traced.node] = value
        return traced


@contextmanager
def refusals(columns: int) -> Iterator[None]:
    """Turns what code raises that cannot be traced, or does not take so many columns, to a ConfigurationError."""
    try:
        yield
    except ConfigurationError:
        raise
    except Untraceable as error:
        raise ConfigurationError(
            f"to_onnx: the network or its loss uses {error}, which an ONNX graph cannot have; replace it in your layer "
            "or loss"
        ) from None
    except (IndexError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"to_onnx: the network or its loss does not work on x of shape (n, {columns}): {error}; change it"
        ) from None


def check_labels(classes: Iterable[Any]) -> None:
    """ConfigurationError for a text that no file can hold as a label. A NumPy array has lost NULs at the end."""
    for label in classes:
        if isinstance(label, str) and label and not is_name(label):
            raise ConfigurationError(
                f"to_onnx: the label {label!r} cannot be in an ONNX file, expected a text without NUL and surrogates"
            )


def _most_probable(nodes: Nodes, probabilities: tuple, classes: np.ndarray) -> tuple:
    """The output ``label``. It is made of nodes, not traced, because traced arrays cannot hold strings."""
    _, shape, value = probabilities
    index = nodes.node("ArgMax", [value], axis=len(shape) - 1, keepdims=0)
    return classes.dtype, shape[:-1], nodes.node("Gather", [nodes.constant(classes, "classes"), index], axis=0)


def _value(dtype: Any, shape: Shape, name: str) -> tuple:
    """An input or output of the model: dtype, shape with the number of rows as "n", and the name of its value."""
    return dtype, ["n" if dim is N else dim for dim in shape], name
