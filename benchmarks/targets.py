"""The ratios that were set as targets, beside what was measured: training on NumPy and on JAX, and prediction."""

from collections.abc import Iterator, Sequence

from mlpcore.bench.contenders import OURS
from mlpcore.bench.suite import LIMIT, Record
from mlpcore.bench.tables import NONE, TextTable, best, cases, count, is_peer, rate, ratio, share, times
from mlpcore.bench.workloads import WORKLOADS

# share of the limit; times the better of torch eager and scikit-learn; times JAX with a scanned epoch
NUMPY = {
    "tiny": (None, 2.5, None),
    "digits": (0.38, 2.5, 1.0),
    "tabular": (0.47, 1.8, 1.0),
    "mnist": (0.86, 1.25, 1.0),
    "deep": (0.86, 1.25, 1.0),
    "wide": (0.88, 1.1, 1.0),
}
JAX = 0.95  # times hand-written JAX with a scanned epoch
EAGER = ("torch eager", "scikit-learn")
BETTER = "against the better of torch eager, scikit-learn"
HEAD = ("workload", "rows/s", "GFLOP/s", "of the limit", BETTER, "against jax scan", "against the best peer")


def summary_tables(records: Sequence[Record]) -> Iterator[TextTable]:
    """For each of mlpcore's backends one row a workload: speed, share of the limit, ratios; targets in brackets."""
    named = {workload.name for workload in WORKLOADS}
    found = {key: some for key, some in cases(records).items() if key[0] == "epoch" and key[1] in named}
    for dtype, device in dict.fromkeys((key[3], key[4]) for key in found):
        here = {key[1]: some for key, some in found.items() if key[3:] == (dtype, device)}
        for name in dict.fromkeys(name for some in here.values() for name in some if name.startswith(OURS)):
            rows = [_row(workload, some, name, dtype) for workload, some in here.items() if rate(some.get(name))]
            if rows:
                yield TextTable(f"{name} on {device}, {dtype} (in brackets: the target)", HEAD, rows)


def _row(workload: str, found: dict[str, Record], name: str, dtype: str) -> list[str]:
    own, limit, eager, scan = found[name], found.get(LIMIT), best(found, EAGER), found.get("jax scan")
    goals: tuple = (None, None, None)
    if dtype == "float32" and own["device"] == "cpu":
        goals = {OURS + "numpy": NUMPY.get(workload), OURS + "jax": (None, None, JAX)}.get(name) or goals
    speed, peer = rate(own) or 0.0, best(found, filter(is_peer, found))
    return [
        workload,
        count(speed),
        f"{speed * own['flops'] / own['rows'] / 1e9:.3g}",
        _beside(share, ratio(own, limit), goals[0]),
        _beside(times, ratio(own, eager), goals[1]),
        _beside(times, ratio(own, scan), goals[2]),
        times(ratio(own, peer)) + (f", {peer['contender']}" if peer else ""),
    ]


def _beside(write, value: float | None, goal: float | None) -> str:
    return write(value) + (f" ({write(goal)})" if goal is not None and value is not None else "")


def prediction_table(records: Sequence[Record]) -> TextTable:
    """Rows/s of everybody, and the ratio of the first of mlpcore's backends to the better of torch and scikit-learn."""
    found = cases(records)
    names = list(dict.fromkeys(name for some in found.values() for name in some))
    own = next((name for name in names if name.startswith(OURS)), NONE)
    rows = []
    for (_, workload, batch, dtype, _), some in found.items():
        gain = times(ratio(some.get(own), best(some, EAGER)))
        rows.append([workload, f"{batch:,}", dtype, *(count(rate(some.get(name))) for name in names), gain])
    head = ["workload", "batch", "dtype", *names, f"{own} {BETTER} (1.00 x)"]
    return TextTable("prediction of class probabilities, rows/s", head, rows)
