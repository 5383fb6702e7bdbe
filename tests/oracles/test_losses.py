"""Every loss against torch: value and gradient of the weighted sum over rows, in both dtypes."""

import math

import numpy as np
import pytest
from optional import optional

from mlpcore.losses import (
    LOSSES,
    AbsoluteError,
    GaussianNLL,
    HalfSquaredError,
    Huber,
    MembersLoss,
    PoissonNLL,
    Quantile,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    StandardizedTarget,
)

torch = optional("torch")
functional = torch.nn.functional
pytestmark = pytest.mark.oracle

ROWS = 7


def reals(rng, columns):
    return rng.normal(size=(ROWS, columns))


def counts(rng, columns):
    return rng.poisson(2.0, size=(ROWS, columns)).astype(float)


def flags(rng, columns):
    return rng.integers(0, 2, size=(ROWS, columns)).astype(bool)


def shares(rng, columns):
    drawn = rng.uniform(size=(ROWS, columns))
    return drawn / np.sum(drawn, axis=-1, keepdims=True)


def labels(rng, columns):
    return rng.integers(0, columns, size=ROWS)


def columnwise(function, **words):
    """The losses of rows by a torch function that gives one number for every score."""
    return lambda z, t: function(z, t, reduction="none", **words).sum(dim=-1)


def pinball(levels):
    """torch has no pinball loss: its definition, differentiated by torch."""
    p = torch.tensor(levels, dtype=torch.float64)

    def rows(z, t):
        error = t[:, :, None] - z.reshape(len(z), -1, len(levels))
        return torch.maximum(p.to(z.dtype) * error, (p.to(z.dtype) - 1) * error).sum(dim=(-2, -1))

    return rows


def gaussian(z, t):
    mean, log_variance = z.chunk(2, dim=-1)
    return functional.gaussian_nll_loss(mean, t, log_variance.exp(), reduction="none", eps=1e-30).sum(dim=-1)


def distribution(z, t):
    """torch's own density: the constant that `GaussianNLL` leaves out is taken off."""
    mean, log_variance = z.chunk(2, dim=-1)
    density = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(t)
    return (-density - 0.5 * math.log(2 * math.pi)).sum(dim=-1)


def softmax(smoothing):
    return lambda z, t: functional.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)


def mean_of_members(rows, count):
    """The mean of the losses of the members, whose scores lie side by side."""
    return lambda z, t: torch.stack([rows(part, t) for part in z.chunk(count, dim=-1)]).mean(dim=0)


CASES = [  # loss, target columns (classes), target, the losses of the rows by torch
    (HalfSquaredError(), 3, reals, lambda z, t: 0.5 * columnwise(functional.mse_loss)(z, t)),
    (SquaredError(), 3, reals, columnwise(functional.mse_loss)),
    (AbsoluteError(), 3, reals, columnwise(functional.l1_loss)),
    (Huber(), 3, reals, columnwise(functional.huber_loss)),
    (Huber(0.3), 3, reals, columnwise(functional.huber_loss, delta=0.3)),
    (Quantile(), 3, reals, pinball((0.1, 0.5, 0.9))),
    (Quantile((0.25,)), 2, reals, pinball((0.25,))),
    (PoissonNLL(), 3, counts, columnwise(functional.poisson_nll_loss, log_input=True, full=False)),
    (GaussianNLL(), 3, reals, gaussian),
    (GaussianNLL(), 2, reals, distribution),
    (SigmoidCrossEntropy(), 1, flags, columnwise(functional.binary_cross_entropy_with_logits)),
    (SigmoidCrossEntropy(), 3, shares, columnwise(functional.binary_cross_entropy_with_logits)),
    (SoftmaxCrossEntropy(), 4, labels, softmax(0.0)),
    (SoftmaxCrossEntropy(), 4, shares, softmax(0.0)),
    (SoftmaxCrossEntropy(label_smoothing=0.1), 4, labels, softmax(0.1)),
    (SoftmaxCrossEntropy(label_smoothing=0.1), 4, shares, softmax(0.1)),
    (MembersLoss(SoftmaxCrossEntropy(label_smoothing=0.1), 3), 4, labels, mean_of_members(softmax(0.1), 3)),
    (StandardizedTarget(Huber(), (0.5,), (2.0,)), 3, reals, columnwise(functional.huber_loss)),  # of prepared targets
    (MembersLoss(SquaredError(), 2), 3, reals, mean_of_members(columnwise(functional.mse_loss), 2)),
]


def test_every_loss_has_its_oracle():
    assert {type(loss) for loss, *_ in CASES} == set(LOSSES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "columns", "draw", "oracle"), CASES, ids=lambda v: getattr(v, "__name__", repr(v)))
def test_value_and_gradient_are_those_of_torch(loss, columns, draw, oracle, dtype):
    rng = np.random.default_rng(5)
    z = (2 * rng.normal(size=(ROWS, loss.outputs(columns)))).astype(dtype)
    weights = rng.uniform(0.5, 2.0, size=ROWS).astype(dtype)
    weights[2] = 0.0
    target = loss.prepare(draw(rng, columns), loss.outputs(columns), np.dtype(dtype))

    scores = torch.tensor(z, requires_grad=True)
    theirs = torch.tensor(target.astype("int64") if target.ndim == 1 else target)
    rows = oracle(scores, theirs)
    expected = (torch.tensor(weights) * rows).sum()
    expected.backward()

    value, dz = loss.value_and_grad(z, target, weights)
    # Two ways round the same sum of up to 42 numbers: some units in the last place of the largest.
    near = 64 * np.finfo(dtype).eps
    size = float((torch.tensor(weights) * rows).abs().sum().detach())
    assert value.dtype == dz.dtype == dtype
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=0, atol=near * size)
    np.testing.assert_allclose(dz, scores.grad.numpy(), rtol=near, atol=near)
