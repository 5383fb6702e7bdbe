"""The table of a model: its text, its sums, and what it says where widths are open."""

import re

import members
import numpy as np
import pytest

from mlpcore import layers as nn
from mlpcore.losses import HalfSquaredError, SoftmaxCrossEntropy
from mlpcore.model import Model
from mlpcore.optimizers import SGD
from mlpcore.trees import is_statistic, named_leaves

EXPECTED = """\
Model on numpy: SoftmaxCrossEntropy(), SGD(0.1)
layer                         columns  parameters  FLOPs per row
----------------------------------------------------------------
Sequential                         10
  0 Linear(64, 128)               128       8,320         16,384
  1 BatchNorm(128)                128         256              0
  2 ReLU()                        128           0              0
  3 Residual                      128
    3.0 Sequential                128
      3.0.0 Linear(128, 128)      128      16,512         32,768
      3.0.1 Tanh()                128           0              0
  4 Linear(128, 10)                10       1,290          2,560
----------------------------------------------------------------
total                                      26,378         51,712
The parameters take 206.1 KiB in float64.
FLOPs: 2 x in x out for each matrix product of the forward pass; training takes about three times that."""


def test_the_table() -> None:
    inner = nn.Residual(nn.Sequential(nn.Linear(128, 128), nn.Tanh()))
    net = nn.Sequential(nn.Linear(64, 128), nn.BatchNorm(128), nn.ReLU(), inner, nn.Linear(128, 10))
    assert Model(net, SoftmaxCrossEntropy(), SGD(0.1), dtype="float64").summary() == EXPECTED


@pytest.mark.parametrize("case", members.TRAINED)
def test_parameters_are_those_of_the_tree(case: str) -> None:
    model = Model(members.LAYERS[case](4), HalfSquaredError(), SGD(0.1))
    leaves = [leaf for name, leaf in named_leaves(model.params) if not is_statistic(name)]
    weights = [leaf for name, leaf in named_leaves(model.params) if name.endswith("weight")]
    total = re.search(r"^total +([\d,]+) +([\d,]+)$", model.summary(), re.MULTILINE)
    assert total is not None
    assert int(total[1].replace(",", "")) == sum(leaf.size for leaf in leaves)
    assert int(total[2].replace(",", "")) == sum(2 * leaf.size for leaf in weights)
    rows = [line.split() for line in model.summary().split("---\n")[1].split("\n")[:-1]]
    assert len(rows) == len(list(members.parts_of(model.net)))
    assert sum(int(row[-2].replace(",", "")) for row in rows if len(row) > 3 or "(" in row[0]) == int(
        total[1].replace(",", "")
    )


def test_a_single_layer_and_open_widths() -> None:
    lines = Model(nn.Linear(3, 2), HalfSquaredError(), SGD(0.1)).summary().split("\n")
    assert lines[3].split() == ["Linear(3,", "2)", "2", "8", "12"]
    net = nn.Sequential(nn.ReLU(), nn.Dropout(), nn.Linear(3, 2), nn.ReLU())
    columns = [line.split()[-3] for line in Model(net, HalfSquaredError(), SGD(0.1)).summary().split("\n")[4:8]]
    assert columns == ["?", "?", "2", "2"]


def test_a_long_name_is_cut_and_nothing_is_printed(capsys: pytest.CaptureFixture) -> None:
    layer = nn.Linear(
        1000, 1000, weight_init=members.init.Orthogonal(0.123456789), bias_init=members.init.Constant(0.5)
    )
    lines = Model(layer, HalfSquaredError(), SGD(0.1), params=zeros(layer)).summary().split("\n")
    assert max(map(len, lines[:6])) <= 100 and " ... " in lines[3]
    assert capsys.readouterr().out == ""


def zeros(layer: nn.Linear) -> dict[str, np.ndarray]:
    return {"weight": np.zeros((layer.in_features, layer.out_features)), "bias": np.zeros(layer.out_features)}
