"""The losses in decimal arithmetic, and a comparison with them.

Each `exact_` function gives, for one row, the terms of the loss and for every score the terms of its gradient;
rounding may cost a few units in the last place of the sum of the terms' sizes, nothing more.
"""

from decimal import Decimal

import numpy as np

ONE = Decimal(1)


def exact_half_squared(loss, z, t):
    return [(a - b) ** 2 / 2 for a, b in zip(z, t, strict=True)], [[a - b] for a, b in zip(z, t, strict=True)]


def exact_squared(loss, z, t):
    return [(a - b) ** 2 for a, b in zip(z, t, strict=True)], [[2 * (a - b)] for a, b in zip(z, t, strict=True)]


def exact_absolute(loss, z, t):
    return [abs(a - b) for a, b in zip(z, t, strict=True)], [[(a > b) - (a < b)] for a, b in zip(z, t, strict=True)]


def exact_huber(loss, z, t):
    delta = Decimal(loss.delta)
    errors = [a - b for a, b in zip(z, t, strict=True)]
    near = [abs(r) <= delta for r in errors]
    terms = [r * r / 2 if n else delta * (abs(r) - delta / 2) for r, n in zip(errors, near, strict=True)]
    return terms, [[max(-delta, min(delta, r))] for r in errors]


def exact_quantile(loss, z, t):
    levels = [Decimal(p) for p in loss.quantiles]
    pairs = [(z[j * len(levels) + i], t[j], p) for j in range(len(t)) for i, p in enumerate(levels)]
    terms = [max((1 - p) * (a - b), -p * (a - b)) for a, b, p in pairs]
    return terms, [[(a > b) * (1 - p), -(a < b) * p] for a, b, p in pairs]


def exact_poisson(loss, z, t):
    terms = [part for a, b in zip(z, t, strict=True) for part in (a.exp(), -b * a)]
    if loss.constant == "deviance":
        terms += [part for b in t if b for part in (b * b.ln(), -b)]
    return terms, [[a.exp(), -b] for a, b in zip(z, t, strict=True)]


def exact_gaussian(loss, z, t):
    c = len(t)
    triples = list(zip(z[:c], z[c:], t, strict=True))
    terms = [part for m, s, b in triples for part in (s / 2, (b - m) ** 2 * (-s).exp() / 2)]
    means = [[(m - b) * (-s).exp()] for m, s, b in triples]
    return terms, means + [[ONE / 2, -((b - m) ** 2) * (-s).exp() / 2] for m, s, b in triples]


def log1p(x):
    return (1 + x).ln() if x > Decimal("1e-20") else x - x * x / 2 + x**3 / 3


def exact_sigmoid(loss, z, t):
    yes, no = [ONE / (1 + (-a).exp()) for a in z], [ONE / (1 + a.exp()) for a in z]
    terms = [part for a, b in zip(z, t, strict=True) for part in (b * log1p((-a).exp()), (1 - b) * log1p(a.exp()))]
    return terms, [[(1 - b) * p, -b * q] for p, q, b in zip(yes, no, t, strict=True)]


def exact_softmax(loss, z, t):
    if len(t) < len(z):
        t = [ONE if i == t[0] else Decimal(0) for i in range(len(z))]
    s = Decimal(loss.label_smoothing)
    t = [(1 - s) * b + s / len(z) for b in t]
    total = sum(a.exp() for a in z)
    # ln p as -ln(1 + others / own) has all its digits for p next to 1 too.
    others = [sum(b.exp() for j, b in enumerate(z) if j != i) for i in range(len(z))]
    logs = [-log1p(rest / a.exp()) for a, rest in zip(z, others, strict=True)]
    # exp(log p) carries the rounding of the logarithm, |log p| units in its last place.
    sizes = [a.exp() / total * -log / 2 for a, log in zip(z, logs, strict=True)]
    grads = [[a.exp() / total, -b, size, -size] for a, b, size in zip(z, t, sizes, strict=True)]
    return [-b * log for b, log in zip(t, logs, strict=True)], grads


def close(got, terms, info, where):
    """``got`` is the sum of the exact terms to 16 units in the last place, or infinite where that is too large."""
    total, size = sum(terms), sum(map(abs, terms))
    if abs(total) > Decimal(float(info.max)):
        assert got == (np.inf if total > 0 else -np.inf), where
        return
    assert np.isfinite(got), f"{where}: {got}, exactly {total:.17g}"
    allowed = 16 * Decimal(float(info.eps)) * size + Decimal(float(info.tiny))
    assert abs(Decimal(float(got)) - total) <= allowed, f"{where}: {got}, exactly {total:.17g}"
