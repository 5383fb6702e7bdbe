"""A forecast with quantiles: tomorrow's demand for power, hour by hour, with the 10 % and 90 % levels.

Quality: the mean pinball loss beside that of the seasonal forecast (the same hour a week ago, with the quantiles of its
errors), and the share of hours between the levels.
"""

import numpy as np

import mlpcore as mc

LEVELS = (0.1, 0.5, 0.9)
rng = np.random.default_rng(3)
hours = np.arange(24 * 7 * 40)
weather = np.convolve(rng.normal(size=len(hours) + 47), np.ones(48) / np.sqrt(48), "valid")  # changes within two days
daytime, workday = np.sin((hours % 24 - 7) / 24 * 2 * np.pi), (hours // 24) % 7 < 5
noise = rng.normal(size=len(hours)) * (1 + 1.5 * (daytime > 0))  # by day the demand is less certain
demand = 60 + 12 * daytime * (0.5 + 0.5 * workday) + 5 * weather + noise

# What is known a day before: demand 24, 48 and 168 hours ago, the hour, the day, and the forecast of the weather.
start = 168
known = [demand[start - lag : len(hours) - lag] for lag in (24, 48, 168)]
angle = hours[start:] % 24 / 24 * 2 * np.pi
forecast = weather[start:] + 0.2 * rng.normal(size=len(hours) - start)
before = weather[start - 24 : -24]
x = np.column_stack([*known, np.sin(angle), np.cos(angle), workday[start:], forecast, before])
y = demand[start:]
cut = int(0.8 * len(y))  # the last fifth is the future

scaling, unit = mc.Standardize.fit(x[:cut]), mc.Standardize.fit(y[:cut, None])
net = mc.Sequential(mc.Linear(8, 64), mc.SiLU(), mc.Linear(64, 32), mc.SiLU(), mc.Linear(32, 3))
model = mc.Model(net, mc.Quantile(LEVELS), mc.AdamW(mc.CosineDecay(3e-3, 60 * 42), weight_decay=1e-3), seed=0)
model.fit(scaling(x[:cut]), unit(y[:cut, None]), epochs=60, batch_size=128)
low, middle, high = (model.predict(scaling(x[cut:])) * unit.scale + unit.mean).T


def pinball(predictions: list[np.ndarray]) -> float:
    """The mean over levels and hours of ``max(q r, (q - 1) r)``, where r is demand less prediction."""
    errors = [y[cut:] - prediction for prediction in predictions]
    return float(np.mean([np.maximum(q * r, (q - 1) * r) for q, r in zip(LEVELS, errors, strict=True)]))


spread = np.quantile(y[:cut] - x[:cut, 2], LEVELS)
loss, seasonal = pinball([low, middle, high]), pinball([x[cut:, 2] + shift for shift in spread])
inside = np.mean((low <= y[cut:]) & (y[cut:] <= high))
print(f"pinball loss {loss:.3f}, seasonal {seasonal:.3f}; {inside:.0%} of the hours are between the levels")

assert loss < 0.4 * seasonal
assert 0.7 < inside < 0.9
