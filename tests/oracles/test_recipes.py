"""Whole training steps of the recipes for tables against torch: forward formulas, its gradients, its Adam by leaf."""

import math
from typing import Any

import numpy as np
import pytest
from optional import optional

import mlpcore as mc
from mlpcore.random import Stream
from mlpcore.tabular.recipes import RealMLP, TableShape, TabM
from mlpcore.training.parameters import fresh_state
from mlpcore.training.rules import Rules
from mlpcore.training.step import make_step
from mlpcore.trees import Layout
from mlpcore.typing import Batch

torch = optional("torch")
functional = torch.nn.functional
pytestmark = pytest.mark.oracle

STEPS, ROWS, LEVELS = 6, 10, (1, 2, 4, 11)
DRAWS = Stream(0)
X = np.concatenate(
    [DRAWS.child("x").normal((60, 3)), np.floor(DRAWS.child("c").uniform((60, 4)) * [2, 3, 5, 12])], axis=1
)
LABELS = np.floor(DRAWS.child("y").uniform((60,)) * 3).astype(np.int32)
REALS = DRAWS.child("y").normal((60, 1))


def torch_one_hot(x: Any) -> Any:
    """The columns of categories of 1, 2 and 4 levels."""
    hot = [functional.one_hot(x[:, 3 + j].long(), count + 1).double() for j, count in enumerate(LEVELS)]
    return [hot[0][:, 1:] - hot[0][:, :1], hot[1][:, 1:2] - hot[1][:, 2:], hot[2][:, 1:], hot[3][:, 1:]]


def torch_clip(columns: Any, known: np.ndarray) -> Any:
    """Median, quartiles and smooth clip by NumPy's quantiles."""
    q25, median, q75 = np.quantile(known, [0.25, 0.5, 0.75], axis=0)
    range_ = np.max(known, axis=0) - np.min(known, axis=0)
    factor = 1 / np.where(q75 > q25, q75 - q25, range_ / 2)
    s = (columns - torch.asarray(median)) * torch.asarray(factor)
    return s / torch.sqrt(1 + (s / 3) ** 2)


def realmlp(p: dict[str, Any], x: Any, masks: list[Any], classes: bool) -> Any:
    """The scores of RealMLP-TD, as the fact sheet of the paper has them."""
    numbers = []
    for j in range(3):
        u = torch.cos(2 * math.pi * x[:, j : j + 1] * p["0.0.1.0.0.frequency"][j] + p["0.0.1.0.0.phase"][j])
        numbers.append(u @ p["0.0.1.0.0.weight"][j] + p["0.0.1.0.0.bias"][j])
    known = torch.cat(torch_one_hot(torch.asarray(X))[:3], dim=1).numpy()
    hot = torch_clip(torch.cat(torch_one_hot(x)[:3], dim=1), known)
    vectors = functional.embedding(x[:, 6].long(), p["0.2.1.weight"])
    h = torch.cat([*numbers, x[:, :3], hot, vectors], dim=1) * p["1.0.scale"]
    f = functional.selu if classes else functional.mish
    for layer, share, mask in ((0, 1, masks[0]), (3, 4, masks[1])):
        z = h @ p[f"2.0.{layer}.weight"] / math.sqrt(h.shape[1]) + p[f"2.0.{layer}.bias"]
        h = (z + p[f"2.0.{share}.0.share"] * (f(z) - z)) * mask
    return h @ p["2.0.6.weight"] / math.sqrt(h.shape[1]) + p["2.0.6.bias"]


def factors(name: str) -> tuple[float, float]:
    """The factors of learning rate and of decay of a leaf; both count in the decay."""
    if name.startswith("0.0."):
        return 0.1, 0.1
    key = name.rpartition(".")[2]
    return {"scale": (6.0, 6.0), "share": (0.1, 0.1), "bias": (0.1, 0.0)}.get(key, (1.0, 1.0))


def ours(recipe: Any, target: np.ndarray) -> tuple[list[Any], Any, Layout]:
    """The parameters before and after each step, and the noise of the steps."""
    params = recipe.initial(X, Stream(1), "float64")
    layout = Layout(params)
    backend = mc.get_backend("numpy")
    step = make_step(recipe.net, recipe.loss, recipe.optimizer, layout, Rules())
    state = fresh_state(params, layout, recipe.optimizer, backend, False)
    vectors, noises = [state.params.copy()], []
    for i in range(STEPS):
        rows = slice(ROWS * i, ROWS * (i + 1))
        noise = recipe.net.noise(Stream(0, "noise", step=i), (ROWS, 7), "float64")
        state, _ = step(state, Batch(X[rows], target[rows], np.ones(ROWS), noise))
        vectors.append(state.params.copy())
        noises.append(noise)
    return vectors, noises, layout


@pytest.mark.parametrize("classes", [True, False], ids=["classes", "regression"])
def test_steps_of_realmlp(classes: bool) -> None:
    shape = TableShape(3, LEVELS, 3 if classes else 0)
    recipe = RealMLP(hidden=(8, 6), from_data=True, epochs=1, batch_size=ROWS).build(shape, X)
    target = LABELS if classes else REALS
    vectors, noises, layout = ours(recipe, target)
    p = {name: torch.tensor(leaf.copy(), requires_grad=True) for name, leaf in layout.named(vectors[0]).items()}
    rate = 0.04 if classes else 0.2
    adam = torch.optim.Adam([{"params": [leaf]} for leaf in p.values()], lr=1.0, betas=(0.9, 0.95), eps=1e-8)
    for i in range(STEPS):
        rows, t = slice(ROWS * i, ROWS * (i + 1)), i / STEPS
        masks = [torch.asarray(noises[i][2][0][layer]) for layer in (2, 5)]
        z, y = realmlp(p, torch.asarray(X[rows]), masks, classes), torch.asarray(target[rows])
        loss = functional.cross_entropy(z, y.long(), label_smoothing=0.1) if classes else functional.mse_loss(z, y)
        adam.zero_grad()
        loss.backward()
        flat = 1.0 if t <= 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * t - 1)))
        lr = rate * 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t)))
        with torch.no_grad():
            for (name, leaf), group in zip(p.items(), adam.param_groups, strict=True):
                of_rate, of_decay = factors(name)
                leaf *= 1 - lr * of_rate**2 * 0.02 * flat * (of_decay / of_rate)
                group["lr"] = lr * of_rate
        adam.step()
        for name, leaf in layout.named(vectors[i + 1]).items():
            np.testing.assert_allclose(leaf, p[name].detach().numpy(), rtol=1e-9, atol=1e-11, err_msg=f"{i} {name}")
    assert np.max(np.abs(vectors[-1] - vectors[0])) > 0.01


@pytest.mark.parametrize("classes", [True, False], ids=["classes", "regression"])
def test_steps_of_tabm(classes: bool) -> None:
    recipe = TabM(members=3, hidden=(8, 6), batch_size=ROWS).build(TableShape(3, LEVELS, 3 if classes else 0), X)
    target = LABELS if classes else REALS
    vectors, noises, layout = ours(recipe, target)
    p = {name: torch.tensor(leaf.copy(), requires_grad=True) for name, leaf in layout.named(vectors[0]).items()}
    assert set(np.abs(vectors[0][layout.slots["1.0.scale"].start :][:5])) == {1.0}
    adam = torch.optim.AdamW(list(p.values()), lr=0.002, weight_decay=0.0)
    for i in range(STEPS):
        rows = slice(ROWS * i, ROWS * (i + 1))
        x, y = torch.asarray(X[rows]), torch.asarray(target[rows])
        inputs, losses = torch.cat([x[:, :3], *torch_one_hot(x)], dim=1), []
        for j in range(3):
            h = inputs * p["1.0.scale"][j]
            for layer in (1, 4):
                mask = torch.asarray(noises[i][1][layer + 2][j])
                h = torch.relu(h @ p[f"1.{layer}.weight"] + p[f"1.{layer}.bias"]) * mask
            z = h @ p["1.7.weight"][j] + p["1.7.bias"][j]
            losses.append(functional.cross_entropy(z, y.long()) if classes else functional.mse_loss(z, y))
        adam.zero_grad()
        torch.stack(losses).mean().backward()
        adam.step()
        for name, leaf in layout.named(vectors[i + 1]).items():
            np.testing.assert_allclose(leaf, p[name].detach().numpy(), rtol=1e-9, atol=1e-11, err_msg=f"{i} {name}")
