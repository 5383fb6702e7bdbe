"""The numbers of layers, losses and optimizers: their defaults, and that each is taken exactly within its bounds."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from mlpcore.errors import ConfigurationError
from mlpcore.layers import LAYERS, Tanh
from mlpcore.losses import LOSSES, SquaredError
from mlpcore.optimizers import OPTIMIZERS

MEMBERS = {kind.__name__: kind for kind in (*LAYERS, *LOSSES, *OPTIMIZERS)}

# As documented: those of the papers, or of torch.
DEFAULTS = {
    "LeakyReLU": {"slope": 0.01},
    "ELU": {"alpha": 1.0},
    "GELU": {"approximate": "none"},
    "Dropout": {"rate": 0.5},
    "Linear": {"bias": True},
    "NTKLinear": {"bias": True},
    "LayerNorm": {"eps": 1e-5},
    "RMSNorm": {"eps": None},
    "BatchNorm": {"momentum": 0.1, "eps": 1e-5},
    "Scale": {"bias": False},
    "PeriodicEmbedding": {"frequencies": 16, "width": 3, "sigma": 0.1},
    "PiecewiseLinearEmbedding": {"width": 16},
    "Rates": {"rate": 1.0, "decay": None, "leaves": ()},
    "Huber": {"delta": 1.0},
    "Quantile": {"quantiles": (0.1, 0.5, 0.9)},
    "PoissonNLL": {"constant": "none"},
    "SoftmaxCrossEntropy": {"label_smoothing": 0.0},
    "StandardizedTarget": {"mean": (0.0,), "scale": (1.0,), "low": (), "high": ()},
    "SGD": {"momentum": 0.0, "nesterov": False, "rate_on": "velocity"},
    "Adam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "eps_on": "corrected"},
    "AdamW": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
    "NAdam": {"learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "momentum_decay": 4e-3},
    "RAdam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "RMSprop": {"learning_rate": 1e-2, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0},
    "Adagrad": {"learning_rate": 1e-2, "initial_accumulator": 0.0, "eps": 1e-10},
    "Lion": {"learning_rate": 1e-4, "beta1": 0.9, "beta2": 0.99},
}


def test_every_default_is_the_documented_one() -> None:
    found: dict[str, dict[str, Any]] = {name: {} for name in MEMBERS}
    for name, kind in MEMBERS.items():
        for field in dataclasses.fields(kind):
            plain = isinstance(field.default, (bool, int, float, str, tuple)) or field.default is None
            if plain and not (field.name == "weight_decay" and field.default == 0.0 and kind in OPTIMIZERS):
                found[name][field.name] = field.default
    assert {name: fields for name, fields in found.items() if fields} == DEFAULTS


SMALL = 5e-324
COUNT = ((1,), (0, -1, 1.0, True))
SHARE = ((0.0, 1 - 2.0**-53), (-SMALL, 1.0))  # from 0, below 1
POSITIVE = ((SMALL, 1e308), (0.0, -SMALL, math.inf, math.nan))
FROM_ZERO = ((0.0, 1e308), (-SMALL, math.inf, math.nan))
INSIDE = ((SMALL, 1 - 2.0**-53), (0.0, 1.0))

# Values that are taken, and values that are refused, by class and field; the other arguments stand before them.
BOUNDS: dict[tuple[str, str], tuple[Any, tuple, tuple]] = {
    **{(name, "beta1"): ((0.1,), *SHARE) for name in ("Adam", "AdamW", "NAdam", "RAdam", "Lion")},
    **{(name, "beta2"): ((0.1,), *SHARE) for name in ("Adam", "AdamW", "NAdam", "RAdam", "Lion")},
    **{(name, "eps"): ((0.1,), *POSITIVE) for name in ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adagrad")},
    **{(kind.__name__, "weight_decay"): ((0.1,), *FROM_ZERO) for kind in OPTIMIZERS},
    **{(kind.__name__, "learning_rate"): ((), *POSITIVE) for kind in OPTIMIZERS},
    **{(name, "momentum"): ((0.1,), (0.0, 1.0), (-SMALL, 1 + 2.0**-52)) for name in ("SGD", "RMSprop")},
    ("RMSprop", "alpha"): ((0.1,), *SHARE),
    ("NAdam", "momentum_decay"): ((0.1,), *FROM_ZERO),
    ("Adagrad", "initial_accumulator"): ((0.1,), *FROM_ZERO),
    **{("Linear", field): ((), *COUNT) for field in ("in_features", "out_features")},
    **{("NTKLinear", field): ((), *COUNT) for field in ("in_features", "out_features")},
    **{(name, "features"): ((), *COUNT) for name in ("LayerNorm", "RMSNorm", "BatchNorm", "Scale")},
    ("PeriodicEmbedding", "features"): ((), *COUNT),
    **{("PeriodicEmbedding", field): ((2,), *COUNT) for field in ("frequencies", "width")},
    ("PeriodicEmbedding", "sigma"): ((2,), *POSITIVE),
    ("PiecewiseLinearEmbedding", "width"): ((((0.0, 1.0),),), *COUNT),
    ("Parametric", "features"): ((Tanh(),), *COUNT),
    ("Embedding", "width"): (((2,),), *COUNT),
    **{(name, "eps"): ((2,), *POSITIVE) for name in ("LayerNorm", "RMSNorm", "BatchNorm")},
    ("BatchNorm", "momentum"): ((2,), *INSIDE),
    ("LeakyReLU", "slope"): ((), *FROM_ZERO),
    ("ELU", "alpha"): ((), *FROM_ZERO),
    ("Dropout", "rate"): ((), (0.0, 1 - 2.0**-16), (-SMALL, 1 - 2.0**-17)),
    ("Rates", "rate"): ((Tanh(),), *FROM_ZERO),
    ("Rates", "decay"): ((Tanh(),), *FROM_ZERO),
    ("Members", "count"): ((Tanh(),), *COUNT),
    ("Columns", "start"): ((), (0, 1), (-1, 0.5, 1.0, 2)),
    ("Columns", "stop"): ((0,), (1, 2), (0, -1, 2.0)),
    ("Huber", "delta"): ((), *POSITIVE),
    ("SoftmaxCrossEntropy", "label_smoothing"): ((), *SHARE),
    ("MembersLoss", "count"): ((SquaredError(),), *COUNT),
}  # fmt: skip
OTHERS = {"Linear": {"in_features": 2, "out_features": 2}, "Columns": {"stop": 2}}
OTHERS |= {"NTKLinear": OTHERS["Linear"], "Embedding": {"levels": (2,)}}


def make(name: str, before: tuple, **field: Any) -> Any:
    """A member with this field, and the others that it needs."""
    given = {key: value for key, value in OTHERS.get(name, {}).items() if key not in field}
    names = [one.name for one in dataclasses.fields(MEMBERS[name])]
    return MEMBERS[name](
        *before, **{key: value for key, value in given.items() if key not in names[: len(before)]}, **field
    )


@pytest.mark.parametrize(("name", "field"), BOUNDS)
def test_a_number_is_taken_exactly_within_its_bounds(name: str, field: str) -> None:
    before, taken, refused = BOUNDS[name, field]
    for value in taken:
        assert getattr(make(name, before, **{field: value}), field) == value
        assert getattr(make(name, before, **{field: np.asarray(value)[()]}), field) == value
    for value in refused:
        with pytest.raises(ConfigurationError, match=field if name != "Columns" else "Columns"):
            make(name, before, **{field: value})


def test_every_number_has_its_bounds() -> None:
    numbers = {
        (name, field.name)
        for name, kind in MEMBERS.items()
        for field in dataclasses.fields(kind)
        if str(field.type).split(" |")[0] in ("int", "float")
    }
    assert numbers <= set(BOUNDS)
