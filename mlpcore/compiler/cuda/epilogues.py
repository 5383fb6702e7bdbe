"""Products that also compute what follows them: a bias, an activation, its derivative, or sums over rows.

cuBLASLt calls such a part of a product its epilogue. It is found by the formulas in the graph, whoever wrote them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpcore.compiler.cuda.patterns import GELU, GELU_GRADIENT, RELU, RELU_GRADIENT, Pattern, match
from mlpcore.compiler.graph import N, Node
from mlpcore.compiler.places import ONE, ZERO, Place, packed

MASK_ROW = 16  # bytes: rows of a mask begin at multiples of 128 bits
GELU_COLUMNS = 8  # rows of the saved arguments of GELU begin at multiples of so many entries


@dataclass(eq=False)
class FusedProduct:
    """The product ``a @ b`` (rows, columns) with an epilogue; ``result`` is written in its place.

    - ``bias``, a vector, is added to every row.
    - ``activation``, "relu" or "gelu", is applied then. ``saved`` is what its derivative needs: for ReLU the bits of
      the positive entries, for GELU (in the tanh form) its argument.
    - With ``gradient`` the product is multiplied by the derivative of the activation instead, which reads ``saved``.
    - ``sums`` are sums over rows: of the result with ``gradient``, else of the factor b.

    ``members`` are the nodes of the graph that it computes.
    """

    product: Node
    result: Node
    members: dict[Node, None]
    bias: Node | None = None
    activation: str = ""
    gradient: bool = False
    saved: Node | None = None
    sums: Node | None = None

    def written(self) -> list[Node]:
        """The nodes whose values it writes to memory."""
        return [self.result, *filter(None, [None if self.gradient else self.saved, self.sums])]

    def read(self, places: dict[Any, Place]) -> list[Node]:
        """The nodes whose arrays it reads."""
        factors = [places.get((self.product, factor)) or places[factor] for factor in self.product.inputs]
        bias = [] if self.bias is None else [places[self.bias]]
        saved = [self.saved] if self.gradient and self.saved is not None else []
        return [place.root for place in (*factors, *bias)] + saved

    def __str__(self) -> str:
        words = ["bias"] * (self.bias is not None) + [self.activation + " gradient" * self.gradient]
        words += ["sums over rows"] * (self.sums is not None)
        return f"{self.product} with {', '.join(filter(None, words))}"


class EpilogueFinder:
    """Finds the products of a graph that can have epilogues. ``nodes`` are those that are computed, in order."""

    def __init__(self, nodes: Sequence[Node], places: dict[Any, Place], outputs: Sequence[Node]) -> None:
        self.nodes, self.places = nodes, places
        self.products = [node for node in nodes if node.kind == "matmul" and _plain(node)]
        self.users: dict[Node, set[Node]] = {node: set() for node in nodes}
        for node in nodes:
            for operand in node.inputs:
                self.users.setdefault(places[operand].root, set()).add(node)
        self.outputs = {places[output].root for output in outputs}
        self.fused: dict[Node, FusedProduct] = {}  # by each of their members

    def find(self) -> dict[Node, FusedProduct]:
        """The products with epilogues, by each of their members."""
        for product in self.products:
            for activation, value, gradient in (("relu", RELU, RELU_GRADIENT), ("gelu", GELU, GELU_GRADIENT)):
                if product not in self.fused and (activation == "relu" or int(product.shape[1]) % GELU_COLUMNS == 0):
                    self._activation(product, activation, value, gradient)
        for product in self.products:
            if product not in self.fused:
                sums = self._sums(self._factor(product, 1))
                if sums is not None and product.inputs[0].shape[-1] is N:
                    self._add(FusedProduct(product, product, dict.fromkeys([product, sums]), sums=sums))
        return self.fused

    def _add(self, fused: FusedProduct) -> None:
        self.fused |= dict.fromkeys(fused.members, fused)

    def _activation(self, product: Node, activation: str, value: Pattern, gradient: Pattern) -> None:
        """Fuse a product with its bias and activation, and the gradient's product with the derivative."""
        for argument, bias in self._arguments(product):
            for result, names, inside in self._matches(value, {"x": argument}):
                for slope, slope_names, slope_inside in self._matches(gradient, names | {"y": result}):
                    other = slope_names["dy"]
                    if other not in self.products or other in self.fused or not self._noticed(product, slope):
                        continue
                    first = dict.fromkeys([product, argument, *inside])
                    second = dict.fromkeys([other, *(node for node in slope_inside if node not in first)])
                    kept = {result, slope} | ({argument} if activation == "gelu" else set())
                    if not self._private({*first, *second}, kept):
                        continue
                    saved = argument if activation == "gelu" else self._mask(result)
                    sums = self._sums(slope)
                    second |= {} if sums is None else {sums: None}
                    self._add(FusedProduct(product, result, first, bias, activation, saved=saved))
                    self._add(FusedProduct(other, slope, second, None, activation, True, saved, sums))
                    return

    def _arguments(self, product: Node) -> Iterator[tuple[Node, Node | None]]:
        """The product plus a bias, with the bias, where there is one; and the product alone."""
        for node in sorted(self.users[product], key=lambda node: node.number):
            if node.name == "add" and product in node.inputs and node.shape == product.shape:
                (bias,) = [operand for operand in node.inputs if operand is not product] or [product]
                place = self.places[bias]
                if place.root.kind == "input" and place.strides[-2:] == (ZERO, ONE) and bias.dtype == product.dtype:
                    yield node, bias
        yield product, None

    def _matches(self, pattern: Pattern, names: dict[str, Node]) -> Iterator[tuple[Node, dict[str, Node], list[Node]]]:
        """Each node with a pattern's formula, the nodes of its names, and all nodes of the formula."""
        for node in self.nodes:
            bound, inside = dict(names), list[Node]()
            if _plain(node) and match(node, pattern, bound, inside):
                yield node, bound, inside

    def _noticed(self, product: Node, slope: Node) -> bool:
        """Whether a NaN in the factor a reaches the gradient of the factor b, although ReLU may turn it into 0.

        That gradient is the product of a transposed and ``slope``, the gradient of the product.
        """
        a = self._factor(product, 0)
        slopes = {slope, *self.users[slope]}  # which may be rounded
        return any(
            self._factor(other, 0) is a and self._factor(other, 1) in slopes and other.inputs[0].shape[-1] is N
            for other in self.products
        )

    def _private(self, members: set[Node], kept: set[Node]) -> bool:
        """Whether no other node reads the members but those that are kept, and none that is not kept is an output."""
        hidden = members - kept
        return not hidden & self.outputs and not kept & self.outputs and all(
            self.users[node] <= members for node in hidden
        )  # fmt: skip

    def _sums(self, x: Node) -> Node | None:
        """The sums of x over its rows."""
        for node in self.nodes:
            whole = node.kind == "reduce" and node.inputs[0] is x and node not in self.fused
            if whole and node.name == "sum" and dict(node.attributes)["axes"] == (0,) and _plain(x):
                return node
        return None

    def _factor(self, product: Node, position: int) -> Node:
        operand = product.inputs[position]
        return (self.places.get((product, operand)) or self.places[operand]).root

    def _mask(self, result: Node) -> Node:
        """The bits of the positive entries of a result: a node that is not in the graph."""
        rows, columns = result.shape
        shape = rows, -(-int(columns) // (8 * MASK_ROW)) * MASK_ROW
        mask = Node("mask", "mask", (), shape, np.dtype(np.uint8), (), result.label, -1 - result.number)
        self.places[mask] = Place(mask, ZERO, packed(shape))
        return mask


def _plain(node: Node) -> bool:
    """Whether a node is a float32 matrix whose number of columns is known."""
    return node.ndim == 2 and node.dtype == np.float32 and node.shape[1] is not N
