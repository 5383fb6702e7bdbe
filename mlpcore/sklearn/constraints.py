"""The constraints on the estimators' arguments: scikit-learn's own, then those of mlpcore's additional arguments."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions

from mlpcore.backends import NAMES
from mlpcore.layers import ELU, GELU, SELU, Identity, LeakyReLU, Mish, ReLU, Sigmoid, SiLU, Softplus, Tanh
from mlpcore.losses import AbsoluteError, GaussianNLL, HalfSquaredError, Huber, PoissonNLL, Quantile
from mlpcore.training import missing, recovery
from mlpcore.typing import Layer, Loss, Optimizer

# scikit-learn's four first.
ACTIVATIONS: dict[str, Layer] = {
    "identity": Identity(),
    "logistic": Sigmoid(),
    "tanh": Tanh(),
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "elu": ELU(),
    "selu": SELU(),
    "gelu": GELU(),
    "silu": SiLU(),
    "mish": Mish(),
    "softplus": Softplus(),
}
NORMALIZATIONS = ("batch", "layer", "rms")
FULL_BATCH = "lbfgs"
SOLVERS = ("sgd", "adam", "adamw", "nadam", "radam", "rmsprop", "adagrad", "lion")
RATES = ("constant", "invscaling", "adaptive")  # scikit-learn's, for sgd only
SCHEDULES = ("cosine", "linear", "one_cycle")  # over the whole fit, for every solver but lbfgs
REGRESSION_LOSSES: dict[str, Loss] = {
    "squared_error": HalfSquaredError(),
    "poisson": PoissonNLL(constant="deviance"),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "quantile": Quantile(),
    "gaussian": GaussianNLL(),
}

_FROM_ONE = Interval(Integral, 1, None, closed="left")
_SHARE = Interval(Real, 0, 1, closed="left")

COMMON: dict[str, Any] = {
    "hidden_layer_sizes": ["array-like", _FROM_ONE],
    "activation": [StrOptions(set(ACTIVATIONS)), Layer, list, tuple],
    "solver": [StrOptions({FULL_BATCH, *SOLVERS}), Optimizer],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), _FROM_ONE],
    "learning_rate": [StrOptions({*RATES, *SCHEDULES}), callable],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [_FROM_ONE],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_SHARE],
    "beta_1": [_SHARE],
    "beta_2": [_SHARE],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [_FROM_ONE, Options(Real, {np.inf})],
    "max_fun": [_FROM_ONE],
    "backend": [StrOptions({"auto", *NAMES})],
    "device": "no_validation",  # every library has its own device names
    "dtype": [StrOptions({"float32", "float64"}), None],
    "compile": [StrOptions({"auto"}), "boolean"],
    "dropout": [_SHARE, "array-like"],
    "normalization": [StrOptions(set(NORMALIZATIONS)), None],
    "weight_decay": [Interval(Real, 0, None, closed="left"), None],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "on_nonfinite": [StrOptions(set(recovery.CHOICES))],
    "scoring": [str, callable, None],
    "validation_split": [HasMethods(["split", "get_n_splits"]), list, tuple, None],
    "callbacks": [list, tuple],
    "progress": ["boolean"],
    "n_members": [_FROM_ONE],
    "bootstrap": ["boolean"],
    "oob_score": ["boolean"],
    "compat": [StrOptions({"sklearn"}), None],
}
CLASSIFIER: dict[str, Any] = COMMON | {"class_weight": [StrOptions({"balanced"}), dict, list, None]}
REGRESSOR: dict[str, Any] = COMMON | {
    "loss": [StrOptions(set(REGRESSION_LOSSES)), Loss],
    "missing_targets": [StrOptions(set(missing.CHOICES))],
    "standardize_target": ["boolean"],
}
