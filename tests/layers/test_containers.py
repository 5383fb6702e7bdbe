"""Containers as users write them: summary, gradient check, files, training and checks of sizes treat them as ours."""

from dataclasses import dataclass
from typing import Any

import members
import numpy as np
import pytest
from devices import PLACES, open_place
from fitting import make

import mlpcore as mc
from mlpcore.gradient_check import check_gradients
from mlpcore.layers.containers import Container, children, observe
from mlpcore.layers.shapes import Leaf, child_widths, parameter_shapes
from mlpcore.namespace import namespace
from mlpcore.numerics import sigmoid
from mlpcore.random import Stream
from mlpcore.training.memory import columns_kept
from mlpcore.trees import leaves, named_leaves, tree_map

X, Y = Stream(1, "x").normal((40, 5)), Stream(2, "y").normal((40, 2))


@dataclass(frozen=True)
class Parallel:
    """``y = concat(layer(x) for each layer)`` along the columns. It inherits from nothing."""

    children: tuple

    def with_children(self, children: tuple) -> "Parallel":
        return Parallel(children)

    @property
    def row_independent(self) -> bool:
        return all(child.row_independent for child in self.children)

    def output_width(self, n_in: int | None) -> int | None:
        found = [child.output_width(n_in) for child in self.children]
        return None if None in found else sum(found)

    def init(self, rng: Any, dtype: str) -> Any:
        return tuple(child.init(rng.child(i), dtype) for i, child in enumerate(self.children))

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return tuple(child.noise(stream.child(i), shape, dtype) for i, child in enumerate(self.children))

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        passes = [child.forward(params[i], x, training and training.child(i)) for i, child in enumerate(self.children)]
        outputs, caches = zip(*passes, strict=True)
        return namespace(x).concat(outputs, axis=-1), (caches, [y.shape[-1] for y in outputs])

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        caches, widths = cache
        ends = np.cumsum(widths).tolist()
        dxs, grads = zip(
            *(
                child.backward(own, kept, dy[..., end - width : end], need_dx=need_dx)
                for child, own, kept, width, end in self._each(params, caches, widths, ends)
            ),
            strict=True,
        )
        return (sum(dxs[1:], dxs[0]) if need_dx else None), grads

    def observe(self, params: Any, cache: Any) -> Any:
        return tuple(observe(*of) for of in self._each(params, cache[0]))

    def _each(self, *columns: Any) -> Any:
        return zip(self.children, *columns, strict=True)


@dataclass(frozen=True)
class Gated(Container):
    """``y = s * first(x) + (1 - s) * second(x)`` with ``s = sigmoid(gate)``, a number for each column."""

    first: Any
    second: Any
    width: int

    @property
    def children(self) -> tuple:
        return self.first, self.second

    def with_children(self, children: tuple) -> "Gated":
        return Gated(*children, self.width)

    def output_width(self, n_in: int | None) -> int | None:
        self.first.output_width(n_in)
        return self.second.output_width(n_in)

    def init(self, rng: Any, dtype: str) -> Any:
        return *super().init(rng, dtype), {"gate": np.zeros(self.width, dtype)}

    def noise(self, stream: Any, shape: Any, dtype: str) -> Any:
        return self.first.noise(stream.child(0), shape, dtype), self.second.noise(stream.child(1), shape, dtype)

    def forward(self, params: Any, x: Any, training: Any = None) -> Any:
        (one, first), (two, second) = (
            child.forward(params[i], x, training and training.child(i)) for i, child in enumerate(self.children)
        )
        share = sigmoid(params[2]["gate"])[..., None, :]
        return share * one + (1 - share) * two, (first, second, (one - two, share))

    def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
        first, second, (difference, share) = cache
        dx, grads = self.first.backward(params[0], first, share * dy, need_dx=need_dx)
        dx2, grads2 = self.second.backward(params[1], second, (1 - share) * dy, need_dx=need_dx)
        dgate = namespace(dy).sum(dy * difference * share * (1 - share), axis=-2)
        return (dx + dx2 if need_dx else None), (grads, grads2, {"gate": dgate})


PARALLEL = Parallel((mc.Linear(5, 3), mc.Sequential(mc.Linear(5, 4), mc.BatchNorm(4), mc.Dropout(0.2))))
GATED = Gated(mc.Linear(7, 7), mc.Residual(mc.Sequential(mc.Linear(7, 7), mc.BatchNorm(7), mc.Tanh())), 7)
NET = mc.Sequential(PARALLEL, mc.ReLU(), GATED, mc.Linear(7, 2))

SUMMARY = """\
layer                          columns  parameters  FLOPs per row
-----------------------------------------------------------------
Sequential                           2
  0 Parallel                         7
    0.0 Linear(5, 3)                 3          18             30
    0.1 Sequential                   4
      0.1.0 Linear(5, 4)             4          24             40
      0.1.1 BatchNorm(4)             4           8              0
      0.1.2 Dropout(rate=0.2)        4           0              0
  1 ReLU()                           7           0              0
  2 Gated                            7           7              0
    2.0 Linear(7, 7)                 7          56             98
    2.1 Residual                     7
      2.1.0 Sequential               7
        2.1.0.0 Linear(7, 7)         7          56             98
        2.1.0.1 BatchNorm(7)         7          14              0
        2.1.0.2 Tanh()               7           0              0
  3 Linear(7, 2)                     2          16             28
-----------------------------------------------------------------
total                                          199            294"""


def model(**words: Any) -> mc.Model:
    return make(NET, optimizer=mc.Adam(0.01), **{"dtype": "float64", **words})


def test_the_summary_lists_children_and_what_is_a_containers_own() -> None:
    assert "\n".join(line for line in model().summary().split("\n")[1:-2]) == SUMMARY


@pytest.mark.parametrize("layer", [PARALLEL, GATED, NET], ids=["parallel", "gated", "network"])
def test_gradients(layer: Any) -> None:
    names = check_gradients(layer).keys()
    assert len(names) == 1 + sum("running" not in name for name, _ in named_leaves(layer.init(Stream(0), "float64")))


@pytest.mark.parametrize("place", PLACES)
def test_training_goes_as_in_the_eager_step(place: str) -> None:
    words = {"batch_size": 16, "epochs": 3}
    eager, other = model(compile=False), model(backend=open_place(place))
    losses = eager.fit(X, Y, **words).loss
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(other.fit(X, Y, **words).loss, losses, rtol=1e-9)
    statistics = [name for name, _ in named_leaves(eager.params) if "running" in name]
    assert len(statistics) == 4 and all(np.any(leaf != 0) for leaf in eager.trainer.state.statistics)


def test_sizes_are_checked_and_counted() -> None:
    with pytest.raises(mc.DataError, match=r"Linear\(5, 3\): x has 4 columns, expected 5"):
        model().fit(X[:, :4], Y)
    with pytest.raises(mc.ConfigurationError, match=r"layer 0 Parallel.* gives 7 columns, which layer 1 does not take"):
        mc.Sequential(PARALLEL, mc.Linear(6, 2))
    assert child_widths(NET, 5) == (5, 7, 7, 7) and child_widths(PARALLEL, 5) == (5, 5)
    # x, both parts (3; 4, 4 and 4), ReLU, Linear of the gate, the layers round which the residual goes, the last one.
    assert columns_kept(NET, 5) == 5 + 3 + 3 * 4 + 7 + 7 + 3 * 7 + 2


class OldNames:
    """A layer under the names of another version."""

    row_independent = True
    widths = init = noise = forward = backward = lambda *_: None


@pytest.mark.parametrize("build", [mc.Sequential, mc.Residual, lambda net: make(net)])
def test_what_a_layer_lacks_is_named(build: Any) -> None:
    with pytest.raises(mc.ConfigurationError, match=r"^\w+: .*\(it has no output_width\)[;,] "):
        build(OldNames())


def test_the_first_layer_that_does_not_fit_is_named_with_what_it_gets() -> None:
    with pytest.raises(mc.ConfigurationError, match=r"^Linear"):  # x: the layer's own error says it all
        mc.Sequential(mc.Linear(3, 2), mc.Tanh()).output_width(4)
    with pytest.raises(
        mc.ConfigurationError, match=r"^Sequential: layer 1 Linear\(2, 4\) gives 4 columns, which layer 2"
    ):
        mc.Sequential(mc.Tanh(), mc.Linear(2, 4), mc.Linear(5, 1))


CONTAINERS = {
    "Sequential": lambda first: mc.Sequential(first, mc.Tanh()),
    "Residual": mc.Residual,
    "Rates": lambda first: mc.Rates(first, 0.5),
    "Concat": lambda first: mc.Concat(first, mc.Identity()),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_no_layer_computes_a_gradient_of_the_input_that_is_not_needed(name: str) -> None:
    asked = []

    class Asked(mc.Tanh):
        """Notes whether it is asked for dx."""

        def backward(self, params: Any, cache: Any, dy: Any, *, need_dx: bool = True) -> Any:
            asked.append(need_dx)
            return mc.Tanh.backward(self, params, cache, dy, need_dx=need_dx)

    layer = CONTAINERS[name](Asked())
    params = layer.init(Stream(0), "float64")
    y, cache = layer.forward(params, X)
    for needed in (True, False):
        layer.backward(params, cache, np.ones_like(y), need_dx=needed)
    assert asked == [True, False]


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_draws_of_a_child_are_those_of_its_place(name: str) -> None:
    stream, child = Stream(3), mc.Dropout(0.5)
    drawn = leaves(CONTAINERS[name](child).noise(stream, (40, 5), "float64"))
    np.testing.assert_array_equal(drawn[0], leaves(child.noise(stream.child(0), (40, 5), "float64"))[0])


def test_no_weight_is_drawn_for_the_shapes() -> None:
    shapes = parameter_shapes(NET, "float64")
    assert all(isinstance(leaf, Leaf) for name, leaf in named_leaves(shapes) if name.endswith("weight"))
    tree_map(lambda leaf, shape: np.testing.assert_equal(leaf.shape, shape.shape), NET.init(Stream(0), "f8"), shapes)


def test_a_file_is_refused_by_the_containers_name(tmp_path: Any) -> None:
    with pytest.raises(mc.ConfigurationError, match=r"^model\.net\.layers\[0\] is Parallel.*mlpcore's own layers"):
        model().save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_goes_on(tmp_path: Any) -> None:
    words: dict[str, Any] = {"batch_size": 16, "checkpoint": tmp_path / "checkpoint"}
    whole, first, second = model(), model(), model()
    expected = whole.fit(X, Y, epochs=4, batch_size=16).loss
    first.fit(X, Y, epochs=2, **words)
    assert second.fit(X, Y, epochs=4, resume=tmp_path / "checkpoint", **words).loss == expected


@pytest.mark.parametrize("case", members.LAYERS)
def test_the_same_children_make_the_same_layer(case: str) -> None:
    layer = members.LAYERS[case](4)
    if parts := children(layer):
        assert layer.with_children(parts) == layer
        other = layer.with_children(tuple(mc.Identity() for _ in parts))
        assert type(other) is type(layer) and children(other) == (mc.Identity(),) * len(parts)
        assert len(leaves(layer.init(Stream(0), "float64"))) == sum(
            len(leaves(part.init(Stream(0), "float64"))) for part in parts
        )
