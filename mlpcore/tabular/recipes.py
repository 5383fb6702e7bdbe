"""The recipes by name: networks for tables and how to train them, from the shape of a table.

>>> import numpy as np
>>> from mlpcore.tabular.recipes import RECIPES, TableShape
>>> x = np.array([[0.5, -1.0, 1.0], [1.5, 0.0, 2.0], [-0.5, 2.0, 0.0]])
>>> recipe = RECIPES["realmlp-s"].build(TableShape(numeric=2, levels=(2,), classes=3), x)
>>> recipe.loss, recipe.batch_size, recipe.epochs
(SoftmaxCrossEntropy(label_smoothing=0.1), 256, 256)
>>> recipe.net.output_width(3)
3
"""

from mlpcore.tabular.realmlp import RealMLP
from mlpcore.tabular.recipe import MANY_LEVELS, Recipe, TableShape
from mlpcore.tabular.tabm import PlainMLP, TabM

__all__ = ["RECIPES", "PlainMLP", "RealMLP", "Recipe", "TabM", "TableShape"]

SIMPLE = RealMLP(
    embedding="none",
    largest_one_hot=MANY_LEVELS,
    parametric=False,
    dropout=0.0,
    weight_decay=0.0,
    regression_rate=0.07,
)
RECIPES: dict[str, RealMLP | TabM | PlainMLP] = {
    "realmlp": RealMLP(),
    "realmlp-s": SIMPLE,
    "tabm": TabM(),
    "mlp": PlainMLP(),
}
