"""The one list of members that the laws run over, and the arrays to run them on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from mlpcore import initializers as init
from mlpcore import layers as nn
from mlpcore import losses as ls
from mlpcore import optimizers as opt
from mlpcore import schedules as sch
from mlpcore.gradient_check import draw_targets
from mlpcore.layers.containers import children
from mlpcore.random import Stream
from mlpcore.trees import is_statistic, named_leaves, tree_map
from mlpcore.typing import Training

EDGES = ((-1.0, 0.2, 1.0), (0.0, 1.0), (-2.0, -1.0, 0.0, 0.5), (0.5, 0.75), (-1.0, 1.0), (-0.5, 0.0, 0.5))


def each(columns: int, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A value for each column, from the first again after the last."""
    return tuple(values[i % len(values)] for i in range(columns))


# Every case is a function of its number of input columns.
LAYERS: dict[str, Callable[[int], Any]] = {
    "Linear": lambda w: nn.Linear(w, 3),
    "Linear without bias": lambda w: nn.Linear(w, 2, bias=False),
    "NTKLinear": lambda w: nn.NTKLinear(w, 3),
    "Identity": lambda w: nn.Identity(),
    "ReLU": lambda w: nn.ReLU(),
    "LeakyReLU": lambda w: nn.LeakyReLU(),
    "LeakyReLU 0.3": lambda w: nn.LeakyReLU(0.3),
    "ELU": lambda w: nn.ELU(),
    "ELU 0.7": lambda w: nn.ELU(0.7),
    "SELU": lambda w: nn.SELU(),
    "GELU": lambda w: nn.GELU(),
    "GELU tanh": lambda w: nn.GELU("tanh"),
    "SiLU": lambda w: nn.SiLU(),
    "Mish": lambda w: nn.Mish(),
    "Softplus": lambda w: nn.Softplus(),
    "Sigmoid": lambda w: nn.Sigmoid(),
    "Tanh": lambda w: nn.Tanh(),
    "Softmax": lambda w: nn.Softmax(),
    "Dropout": lambda w: nn.Dropout(0.3),
    "Dropout of a schedule": lambda w: nn.Dropout(sch.FlatCosine(0.5, 10)),
    "LayerNorm": lambda w: nn.LayerNorm(w),
    "RMSNorm": lambda w: nn.RMSNorm(w),
    "BatchNorm": lambda w: nn.BatchNorm(w),
    "Parametric": lambda w: nn.Parametric(nn.SELU(), w),
    "Scale": lambda w: nn.Scale(w),
    "Scale and shift": lambda w: nn.Scale(w, init.Normal(), bias=True),
    "RobustClip": lambda w: nn.RobustClip(each(w, (0.25, -1.0, 3.0, 0.5, 0.0)), each(w, (0.5, 2.0, 0.0, 1.0, 3.0))),
    "PeriodicEmbedding": lambda w: nn.PeriodicEmbedding(w, 3, 2, 0.5),
    "PiecewiseLinearEmbedding": lambda w: nn.PiecewiseLinearEmbedding(each(w, EDGES), 2),
    "Embedding": lambda w: nn.Embedding(each(w, (1, 3, 2, 2, 1, 2)), 2),
    "OneHot": lambda w: nn.OneHot(each(w, (3, 1, 2, 4, 1))),
    "Columns": lambda w: nn.Columns(w // 2, w),
    "Concat": lambda w: nn.Concat(nn.Identity(), nn.Sequential(nn.Columns(0, 1), nn.OneHot((3,))), nn.Linear(w, 2)),
    "Rates": lambda w: nn.Rates(nn.Linear(w, 3), 0.5, leaves=("bias",)),
    "Members": lambda w: nn.Members(
        nn.Scale(w, init.Signs()), nn.Linear(w, 3), nn.Tanh(), nn.Dropout(0.2), nn.Linear(3, 2), count=3, own=(0, 4)
    ),
    "Members that share nothing": lambda w: nn.Members(
        nn.Concat(nn.Identity(), nn.Linear(w, 2)), nn.LayerNorm(w + 2), count=2, own=(0, 1)
    ),
    "Sequential of nothing": lambda w: nn.Sequential(),
    "Sequential": lambda w: nn.Sequential(nn.Linear(w, 4), nn.Tanh(), nn.Linear(4, 2)),
    "Residual": lambda w: nn.Residual(nn.Linear(w, w)),
    "nested": lambda w: nn.Sequential(
        nn.Linear(w, 4),
        nn.Residual(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), nn.GELU(), nn.Dropout(0.5), nn.Linear(4, 4))),
        nn.ReLU(),
        nn.Linear(4, 3),
    ),
    "nested with BatchNorm": lambda w: nn.Sequential(
        nn.Dropout(0.1),
        nn.Linear(w, 4),
        nn.Residual(nn.Sequential(nn.BatchNorm(4), nn.Tanh(), nn.Residual(nn.Sequential(nn.Linear(4, 4))))),
        nn.Dropout(),
        nn.Linear(4, 3),
    ),
}

TRAINED = [case for case, make in LAYERS.items() if list(named_leaves(make(4).init(Stream(0), "float32")))]

# The loss, and the kind of target it gets (see `draw_targets`).
LOSSES: dict[str, tuple[Any, str]] = {
    "HalfSquaredError": (ls.HalfSquaredError(), "reals"),
    "SquaredError": (ls.SquaredError(), "reals"),
    "AbsoluteError": (ls.AbsoluteError(), "reals"),
    "Huber": (ls.Huber(), "reals"),
    "Huber 0.3": (ls.Huber(0.3), "reals"),
    "Quantile": (ls.Quantile(), "reals"),
    "Quantile of one level": (ls.Quantile((0.7,)), "reals"),
    "Poisson": (ls.PoissonNLL(), "counts"),
    "Poisson as half a deviance": (ls.PoissonNLL("deviance"), "counts"),
    "GaussianNLL": (ls.GaussianNLL(), "reals"),
    "StandardizedTarget": (ls.StandardizedTarget(ls.Huber(), (0.3,), (2.0,)), "reals"),
    "StandardizedTarget, within limits": (
        ls.StandardizedTarget(ls.SquaredError(), (0.1,), (0.7,), (-1.0,), (2.0,)),
        "reals",
    ),
    "StandardizedTarget of quantiles": (ls.StandardizedTarget(ls.Quantile(), (-0.5,), (1.5,)), "reals"),
    "StandardizedTarget, Gaussian": (ls.StandardizedTarget(ls.GaussianNLL(), (1.0,), (0.5,)), "reals"),
    "SigmoidCrossEntropy": (ls.SigmoidCrossEntropy(), "flags"),
    "SoftmaxCrossEntropy": (ls.SoftmaxCrossEntropy(), "labels"),
    "SoftmaxCrossEntropy of probabilities": (ls.SoftmaxCrossEntropy(), "probabilities"),
    "SoftmaxCrossEntropy, smoothed": (ls.SoftmaxCrossEntropy(label_smoothing=0.1), "labels"),
    "MembersLoss": (ls.MembersLoss(ls.SquaredError(), 3), "reals"),
    "MembersLoss of labels": (ls.MembersLoss(ls.SoftmaxCrossEntropy(), 2), "labels"),
    "MembersLoss of means and variances": (ls.MembersLoss(ls.GaussianNLL(), 3), "reals"),
}

# Those that take weights of the entries of the target.
ENTRIES = [case for case, (loss, _) in LOSSES.items() if getattr(loss, "entry_weights", False)]

SCHEDULES: dict[str, Any] = {
    "StepDecay": sch.StepDecay(0.1, 2, 0.5),
    "ExponentialDecay": sch.ExponentialDecay(0.1, 5, 0.5),
    "CosineDecay": sch.CosineDecay(0.1, 10, 0.01),
    "PolynomialDecay": sch.PolynomialDecay(0.1, 10, 2.0, 0.01),
    "InverseScaling": sch.InverseScaling(0.1, 0.5),
    "WarmUp": sch.WarmUp(0.1, 3),
    "WarmUp of a schedule": sch.WarmUp(sch.CosineDecay(0.1, 10), 3, 0.01),
    "OneCycle": sch.OneCycle(0.1, 10),
    "FlatCosine": sch.FlatCosine(0.1, 10),
    "CosLog": sch.CosLog(0.1, 10),
}

OPTIMIZERS: dict[str, Any] = {
    "SGD": opt.SGD(0.1),
    "SGD with a schedule": opt.SGD(SCHEDULES["WarmUp"]),
    "SGD, momentum": opt.SGD(0.1, momentum=0.9),
    "SGD, momentum on the gradient": opt.SGD(0.1, momentum=0.9, rate_on="gradient"),
    "SGD, Nesterov": opt.SGD(0.1, momentum=0.9, nesterov=True),
    "SGD, Nesterov on the gradient": opt.SGD(0.1, momentum=0.9, nesterov=True, rate_on="gradient"),
    "Adam": opt.Adam(0.01),
    "Adam, uncorrected": opt.Adam(0.01, eps_on="uncorrected", eps=1e-3),
    "AdamW": opt.AdamW(0.01),
    "NAdam": opt.NAdam(),
    "RAdam": opt.RAdam(),
    "RMSprop": opt.RMSprop(),
    "RMSprop, momentum": opt.RMSprop(momentum=0.9),
    "Adagrad": opt.Adagrad(),
    "Lion": opt.Lion(),
}
# For the laws of an update by itself also the ends of what the numbers of an optimizer may be.
UPDATES: dict[str, Any] = OPTIMIZERS | {
    "Adam without memory": opt.Adam(0.1, beta1=0.0, beta2=0.0),
    "NAdam without memory": opt.NAdam(0.1, beta1=0.0, beta2=0.0),
    "RAdam without memory": opt.RAdam(0.1, beta1=0.0, beta2=0.0),
    "RAdam, short memory": opt.RAdam(0.1, beta1=0.8, beta2=0.9),
    "RMSprop without memory": opt.RMSprop(0.1, alpha=0.0),
    "Adagrad from 0.1": opt.Adagrad(0.1, initial_accumulator=0.1),
    "Lion without memory": opt.Lion(0.1, beta1=0.0, beta2=0.0),
}

INITIALIZERS: dict[str, Any] = {
    **{made.__name__: made() for made in init.INITIALIZERS if made is not init.Constant},
    "Repeated": init.Repeated(init.Normal(), (2, 3)),
    "Orthogonal, scaled": init.Orthogonal(2**0.5),
    "Constant": init.Constant(0.5),
}

CONFIGURATIONS: dict[str, Any] = {
    **{name: make(4) for name, make in LAYERS.items()},
    "Linear with initializers": nn.Linear(2, 3, weight_init=init.Orthogonal(), bias_init=init.Constant(0.5)),
    **{name: loss for name, (loss, _) in LOSSES.items()},
    **OPTIMIZERS,
    **SCHEDULES,
    **INITIALIZERS,
}


def parts_of(layer: Any) -> Iterator[Any]:
    """The layer and all layers in it."""
    yield layer
    for part in children(layer):
        yield from parts_of(part)


def layer_arrays(
    layer: Any, width: int, rows: int, dtype: str, seed: int = 0, members: int | None = None
) -> tuple[Any, np.ndarray, Training, np.ndarray]:
    """Host params, x, what is known in training and dy; with ``members``, of a stack of that many networks (x too)."""
    if members is not None:
        stacked = [_one(layer, width, rows, dtype, Stream(seed, member=j)) for j in range(members)]
        return tree_map(lambda *leaves: np.stack(leaves), stacked[0], *stacked[1:])
    return _one(layer, width, rows, dtype, Stream(seed))


def _one(layer: Any, width: int, rows: int, dtype: str, stream: Stream) -> tuple[Any, np.ndarray, Training, np.ndarray]:
    moved = {
        name: leaf + (0.1 * _draw(stream, f"moved.{name}", leaf.shape, is_statistic(name))).astype(dtype)
        for name, leaf in named_leaves(layer.init(stream.child("init"), dtype))
    }
    values = iter(moved.values())
    params = tree_map(lambda _: next(values), layer.init(stream.child("init"), dtype))
    weights = (0.5 + stream.child("weights").uniform((rows,))).astype(dtype)
    training = Training(layer.noise(stream.child("noise"), (rows, width), dtype), weights)
    dy = _draw(stream, "dy", (rows, layer.output_width(width)), False)
    return params, _draw(stream, "x", (rows, width), False).astype(dtype), training, dy.astype(dtype)


def _draw(stream: Stream, name: str, shape: tuple[int, ...], positive: bool) -> np.ndarray:
    return stream.child(name).uniform(shape) if positive else stream.child(name).normal(shape)


def loss_arrays(
    case: str, rows: int, dtype: str, seed: int = 0, columns: int = 3, scale: float = 2.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Host z, prepared target and row weights, one of them zero where there are three rows or more."""
    loss, kind = LOSSES[case]
    columns = max(columns, 2) if kind == "probabilities" else columns  # one class alone has probability 1
    stream = Stream(seed)
    outputs = loss.outputs(columns)
    z = scale * stream.child("z").normal((rows, outputs))
    raw = draw_targets(stream, max(rows, 1), columns)[kind]  # prepare is not asked about empty data
    target = loss.prepare(raw, outputs, np.dtype(dtype))[:rows]
    weights = 0.5 + stream.child("weights").uniform((rows,))
    weights[2:3] = 0
    return z.astype(dtype), target, weights.astype(dtype)


def entry_arrays(
    case: str, rows: int, dtype: str, seed: int = 0, columns: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `loss_arrays`, with weights of the entries of the target, about a third of them zero."""
    z, target, _ = loss_arrays(case, rows, dtype, seed, columns)
    draws = Stream(seed, "entries")
    weights = (0.5 + draws.child("size").uniform(target.shape)) * (draws.child("there").uniform(target.shape) > 0.3)
    return z, target, weights.astype(dtype)


def member(stream: Stream, j: int) -> Stream:
    """The stream of network j of a stack."""
    return replace(stream, member=j)


def assert_close(got: Any, expected: Any, roundings: int = 200) -> None:
    """Trees equal up to so many roundings of the dtype of ``got``, in the scale of the largest number of each leaf."""
    left, right = dict(named_leaves(got)), dict(named_leaves(expected))
    assert left.keys() == right.keys()  # in any order: JAX sorts dictionaries
    for name, a in left.items():
        b = right[name]
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, f"{name}: shape {a.shape}, expected {b.shape}"
        if a.dtype.kind in "biu":
            np.testing.assert_array_equal(a, b, err_msg=name)
            continue
        scale = max(1.0, float(np.max(np.abs(b), initial=0.0)))
        eps = float(np.finfo(a.dtype).eps)
        np.testing.assert_allclose(a, b, rtol=0, atol=roundings * eps * scale, err_msg=name)
