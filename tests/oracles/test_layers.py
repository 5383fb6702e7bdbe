"""Every layer against torch's module of the same name with its defaults: value, gradients and running statistics."""

import math
from typing import Any

import numpy as np
import pytest
from optional import optional

from mlpcore.layers import (
    ELU,
    GELU,
    LAYERS,
    SELU,
    BatchNorm,
    Columns,
    Concat,
    Dropout,
    Embedding,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    Members,
    Mish,
    NTKLinear,
    OneHot,
    Parametric,
    PeriodicEmbedding,
    PiecewiseLinearEmbedding,
    Rates,
    ReLU,
    Residual,
    RMSNorm,
    RobustClip,
    Scale,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from mlpcore.layers.containers import observe
from mlpcore.numerics import erf
from mlpcore.random import Stream
from mlpcore.trees import named_leaves, tree_map
from mlpcore.typing import Training

torch = optional("torch")
nn = torch.nn
pytestmark = pytest.mark.oracle

WIDTH = 6
ROWS = 9
WEIGHTS = np.asarray([1, 2, 0, 1, 3, 1, 1, 2, 1])  # whole numbers: torch has no row weights, but rows can be repeated


class Around(nn.Module):
    """Residual in torch."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return x + self.inner(x)


class Masked(nn.Dropout):
    """torch's Dropout with the mask given instead of drawn."""

    noise: Any = None

    def forward(self, x: Any) -> Any:
        return x * self.noise if self.training else super().forward(x)


class Formula(nn.Module):
    """A function of x and of parameters by name; torch differentiates it."""

    def __init__(self, function: Any, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def forward(self, x: Any) -> Any:
        return self.function(x, **dict(self.named_parameters()))


class Branches(nn.Module):
    """Concat in torch."""

    def __init__(self, *branches: Any) -> None:
        super().__init__()
        self.branches = nn.Sequential(*branches)

    def children(self) -> Any:
        return self.branches.children()

    def forward(self, x: Any) -> Any:
        return torch.cat([branch(x) for branch in self.branches], dim=-1)


def periodic(x: Any, frequency: Any, phase: Any, weight: Any, bias: Any) -> Any:
    """Column by column, with torch's products."""
    columns = []
    for j in range(x.shape[1]):
        u = torch.cos(2 * math.pi * x[:, j : j + 1] * frequency[j] + phase[j])
        columns.append(u @ weight[j] + bias[j])
    return torch.cat(columns, dim=-1)


EDGES = tuple((-1.0 - 0.1 * j, *np.linspace(-0.5, 0.5, j + 1).tolist(), 1.2) for j in range(WIDTH))


def piecewise(x: Any, weight: Any, slope: Any, bias: Any) -> Any:
    """Column by column and bin by bin."""
    columns = []
    for j, edges in enumerate(EDGES):
        y = x[:, j : j + 1] * slope[j] + bias[j]
        for b in range(len(edges) - 1):
            part = (x[:, j : j + 1] - edges[b]) / (edges[b + 1] - edges[b])
            part = part if b == 0 else part.clamp(min=0)
            part = part if b == len(edges) - 2 else part.clamp(max=1)
            y = y + part * weight[j, b]
        columns.append(y)
    return torch.cat(columns, dim=-1)


LEVELS = (1, 2, 3, 4, 2, 1)


def numbers(x: Any) -> Any:
    """The category numbers of x, 0 where it is no level."""
    known = (x >= 1) & (x <= torch.tensor(LEVELS, dtype=x.dtype))
    return torch.where(known, torch.round(x), torch.zeros_like(x)).long()


def embedding(x: Any, weight: Any) -> Any:
    """torch's embedding of each column in its part of the table."""
    tables = weight.split([count + 1 for count in LEVELS])
    categories = numbers(x)
    parts = [nn.functional.embedding(categories[:, j], table) for j, table in enumerate(tables)]
    return torch.cat(parts, dim=-1) + 0 * x.sum(dim=-1, keepdim=True)


def one_hot(x: Any) -> Any:
    """By torch's one_hot, with signs for one and two levels."""
    parts, exact = [], torch.where(x == torch.round(x), x, torch.zeros_like(x))
    categories = numbers(exact)
    for j, count in enumerate(LEVELS):
        hot = nn.functional.one_hot(categories[:, j], count + 1).to(x.dtype)
        sign = {1: hot[:, 1:] - hot[:, :1], 2: hot[:, 1:2] - hot[:, 2:]}
        parts.append(sign.get(count, hot[:, 1:]))
    return torch.cat(parts, dim=-1) + 0 * x.sum(dim=-1, keepdim=True)


def robust(x: Any) -> Any:
    s = (x - torch.arange(WIDTH, dtype=x.dtype)) * 0.5
    return s / torch.sqrt(1 + (s / 3) ** 2)


class Ensembled(nn.Module):
    """TabM-mini in torch: one member after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.own = Formula(None, scale=(3, WIDTH))
        self.shared = nn.Linear(WIDTH, 4)
        self.act = nn.Tanh()
        self.head = Formula(None, weight=(3, 4, 2), bias=(3, 2))

    def forward(self, x: Any) -> Any:
        hidden = [self.act(self.shared(x * self.own.scale[i])) for i in range(3)]
        return torch.cat([h @ self.head.weight[i] + self.head.bias[i] for i, h in enumerate(hidden)], dim=-1)


CASES = [
    (Linear(WIDTH, 4), lambda: nn.Linear(WIDTH, 4)),
    (Linear(WIDTH, 4, bias=False), lambda: nn.Linear(WIDTH, 4, bias=False)),
    (Identity(), nn.Identity),
    (ReLU(), nn.ReLU),
    (LeakyReLU(), nn.LeakyReLU),
    (LeakyReLU(0.3), lambda: nn.LeakyReLU(0.3)),
    (ELU(), nn.ELU),
    (ELU(0.7), lambda: nn.ELU(0.7)),
    (SELU(), nn.SELU),
    (GELU(), nn.GELU),
    (GELU("tanh"), lambda: nn.GELU("tanh")),
    (SiLU(), nn.SiLU),
    (Mish(), nn.Mish),
    (Softplus(), nn.Softplus),
    (Sigmoid(), nn.Sigmoid),
    (Tanh(), nn.Tanh),
    (Softmax(), lambda: nn.Softmax(dim=-1)),
    (Dropout(), Masked),
    (Dropout(0.2), lambda: Masked(0.2)),
    (LayerNorm(WIDTH), lambda: nn.LayerNorm(WIDTH)),
    (LayerNorm(WIDTH, eps=0.1), lambda: nn.LayerNorm(WIDTH, eps=0.1)),
    (RMSNorm(WIDTH), lambda: nn.RMSNorm(WIDTH)),
    (RMSNorm(WIDTH, eps=0.1), lambda: nn.RMSNorm(WIDTH, eps=0.1)),
    (BatchNorm(WIDTH), lambda: nn.BatchNorm1d(WIDTH)),
    (BatchNorm(WIDTH, momentum=0.4, eps=0.1), lambda: nn.BatchNorm1d(WIDTH, momentum=0.4, eps=0.1)),
    (
        NTKLinear(WIDTH, 4),
        lambda: Formula(lambda x, weight, bias: x @ weight / math.sqrt(WIDTH) + bias, weight=(WIDTH, 4), bias=(4,)),
    ),
    (Scale(WIDTH), lambda: Formula(lambda x, scale: x * scale, scale=(WIDTH,))),
    (
        Scale(WIDTH, bias=True),
        lambda: Formula(lambda x, scale, bias: x * scale + bias, scale=(WIDTH,), bias=(WIDTH,)),
    ),
    (
        Parametric(Mish(), WIDTH),
        lambda: Formula(lambda x, share: x + share * (nn.functional.mish(x) - x), share=(WIDTH,)),
    ),
    (Parametric(ReLU(), WIDTH), lambda: Formula(lambda x, share: nn.functional.prelu(x, 1 - share), share=(WIDTH,))),
    (RobustClip(tuple(map(float, range(WIDTH))), (0.5,) * WIDTH), lambda: Formula(robust)),
    (
        PeriodicEmbedding(WIDTH, 5, 3),
        lambda: Formula(periodic, frequency=(WIDTH, 5), phase=(WIDTH, 5), weight=(WIDTH, 5, 3), bias=(WIDTH, 3)),
    ),
    (
        PiecewiseLinearEmbedding(EDGES, 2),
        lambda: Formula(piecewise, weight=(WIDTH, WIDTH + 1, 2), slope=(WIDTH, 2), bias=(WIDTH, 2)),
    ),
    (Embedding(LEVELS, 3), lambda: Formula(embedding, weight=(sum(LEVELS) + WIDTH, 3))),
    (OneHot(LEVELS), lambda: Formula(one_hot)),
    (Columns(1, 4), lambda: Formula(lambda x: x[:, 1:4])),
    (Concat(Tanh(), Linear(WIDTH, 2)), lambda: Branches(nn.Tanh(), nn.Linear(WIDTH, 2))),
    (Rates(Linear(WIDTH, 4), 0.1), lambda: nn.Sequential(nn.Linear(WIDTH, 4))),
    (Members(Scale(WIDTH), Linear(WIDTH, 4), Tanh(), Linear(4, 2), count=3, own=(0, 3)), Ensembled),
    (Residual(Linear(WIDTH, WIDTH)), lambda: Around(nn.Linear(WIDTH, WIDTH))),
    # LayerNorm stands first: after the others it would enlarge their rounding errors wherever a row is nearly constant.
    (
        Sequential(
            LayerNorm(WIDTH), Linear(WIDTH, 5), BatchNorm(5), Tanh(), Residual(Sequential(Linear(5, 5), GELU()))
        ),
        lambda: nn.Sequential(
            *(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5), nn.BatchNorm1d(5), nn.Tanh()),
            Around(nn.Sequential(nn.Linear(5, 5), nn.GELU())),
        ),
    ),
]
IDS = [repr(layer) for layer, _ in CASES]
ELEMENTWISE = [case for case in CASES if not list(named_leaves(case[0].init(Stream(0), "float32")))]
TORCH_NAMES = {"gain": "weight"}


def test_the_table_covers_every_layer():
    assert {type(layer) for layer, _ in CASES} == set(LAYERS)


def parameters(layer, dtype):
    """Parameters and statistics that are not the first ones; variances stay positive."""
    first = layer.init(Stream(1), dtype)
    count = iter(range(100))
    return tree_map(
        lambda leaf: leaf + 0.6 * Stream(2, str(next(count))).uniform(leaf.shape).astype(dtype) - 0.3, first
    )


def tensors(tree, module):
    """``(name, leaf, torch's tensor of it)`` for a tree that mirrors parameters; torch's Linear is transposed."""
    if isinstance(tree, tuple):
        for i, (part, child) in enumerate(zip(tree, module.children(), strict=True)):
            yield from ((f"{i}.{name}", leaf, tensor) for name, leaf, tensor in tensors(part, child))
        return
    for name, leaf in tree.items():
        tensor = getattr(module, TORCH_NAMES.get(name, name))
        if isinstance(module, nn.Linear) and name == "weight":
            yield name, leaf.T, tensor
        else:
            yield name, leaf, tensor


def close(actual, expected, name):
    """Equal to 64 rounding units of the largest entry: each is a sum of some ten terms, twice or three times over."""
    expected = expected.detach().numpy()
    assert actual.dtype == expected.dtype
    bound = 64 * np.finfo(actual.dtype).eps * max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=bound, err_msg=name)


def compare(layer, make, x, dy, *, training, weights=None):
    """One forward and one backward pass on both sides, the torch side over repeated rows where there are weights.

    Weights are shares and no numbers of rows, by which torch corrects its running variance.
    """
    dtype = str(x.dtype)
    params, module = parameters(layer, dtype), make().to(getattr(torch, dtype)).train(training)
    with torch.no_grad():
        for _, leaf, tensor in tensors(params, module):
            tensor.copy_(torch.asarray(leaf.copy()))
    times = np.ones(len(x), dtype=int) if weights is None else weights
    context = Training(layer.noise(Stream(3), x.shape, dtype), times.astype(dtype)) if training else None
    if training:
        module.noise = torch.asarray(context.noise) if isinstance(context.noise, np.ndarray) else None
    ours, cache = layer.forward(params, x, context)
    dx, grads = layer.backward(params, cache, dy * times[:, None].astype(dtype))

    theirs = torch.asarray(np.repeat(x, times, axis=0), requires_grad=True)
    y = module(theirs)
    y.backward(torch.asarray(np.repeat(dy, times, axis=0)))
    first = np.cumsum(times) - times
    present = times > 0
    close(ours[present], y[first[present]], "y")
    close(dx[present], theirs.grad[first[present]] * torch.asarray(times[present])[:, None], "dx")
    np.testing.assert_array_equal(dx[~present], 0)
    for name, leaf, tensor in tensors(grads, module):
        close(leaf, tensor.grad, f"d{name}")
    for name, leaf, tensor in tensors(observe(layer, params, cache), module):
        if weights is None or name != "running_var":
            close(leaf, tensor, name)


def draw(layer, dtype, scale=1.5):
    x = (scale * Stream(4, "x").normal((ROWS, WIDTH))).astype(dtype)
    if isinstance(layer, (OneHot, Embedding)):
        x = np.round(x)
    dy = Stream(4, "dy").normal((ROWS, layer.output_width(WIDTH))).astype(dtype)
    return x, dy


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("layer", "make"), CASES, ids=IDS)
def test_value_gradients_and_statistics(layer, make, dtype, training):
    compare(layer, make, *draw(layer, dtype), training=training)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", [BatchNorm(WIDTH), BatchNorm(WIDTH, momentum=0.4, eps=0.1)], ids=repr)
def test_row_weights_of_batch_norm_are_repeated_rows(layer, dtype):
    def make():
        return nn.BatchNorm1d(WIDTH, momentum=layer.momentum, eps=layer.eps)

    compare(layer, make, *draw(layer, dtype), training=True, weights=WEIGHTS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("layer", "make"), ELEMENTWISE, ids=[repr(layer) for layer, _ in ELEMENTWISE])
def test_kinks_and_far_out(layer, make, dtype):
    numbers = [0.0, -0.0, 1e-30, -1e-30, 50, -50, 110, -110, 800, -800, 1e4, -1e4]
    x = np.repeat(np.asarray(numbers, dtype=dtype)[:, None], WIDTH, axis=1)
    x[:, 1:3] *= -1  # rows with differences, for Softmax
    compare(layer, make, x, np.ones((len(x), layer.output_width(WIDTH)), dtype), training=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf(dtype):
    x = np.concatenate([np.linspace(-7, 7, 10_001), [1e4, -1e4]]).astype(dtype)
    y = erf(torch.asarray(x))
    assert isinstance(y, torch.Tensor)
    close(y.numpy(), torch.special.erf(torch.asarray(x)), "erf")
