"""Tables of measured ratios with their targets: training on NumPy and on JAX, and prediction."""

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
    """Yield a table for each of mlpcore's backends: speed, share of the limit, ratios, with targets in brackets."""
    named = {workload.name for workload in WORKLOADS}
    epoch_cases = {
        key: by_contender for key, by_contender in cases(records).items() if key[0] == "epoch" and key[1] in named
    }
    for dtype, device in dict.fromkeys((key[3], key[4]) for key in epoch_cases):
        by_workload = {key[1]: by_contender for key, by_contender in epoch_cases.items() if key[3:] == (dtype, device)}
        for name in dict.fromkeys(
            name for by_contender in by_workload.values() for name in by_contender if name.startswith(OURS)
        ):
            rows = [
                _row(workload, by_contender, name, dtype)
                for workload, by_contender in by_workload.items()
                if rate(by_contender.get(name))
            ]
            if rows:
                yield TextTable(f"{name} on {device}, {dtype} (in brackets: the target)", HEAD, rows)


def _row(workload: str, records: dict[str, Record], name: str, dtype: str) -> list[str]:
    record, limit, eager, scan = records[name], records.get(LIMIT), best(records, EAGER), records.get("jax scan")
    goals: tuple = (None, None, None)
    if dtype == "float32" and record["device"] == "cpu":
        goals = {OURS + "numpy": NUMPY.get(workload), OURS + "jax": (None, None, JAX)}.get(name) or goals
    speed, peer = rate(record) or 0.0, best(records, filter(is_peer, records))
    return [
        workload,
        count(speed),
        f"{speed * record['flops'] / record['rows'] / 1e9:.3g}",
        _beside(share, ratio(record, limit), goals[0]),
        _beside(times, ratio(record, eager), goals[1]),
        _beside(times, ratio(record, scan), goals[2]),
        times(ratio(record, peer)) + (f", {peer['contender']}" if peer else ""),
    ]


def _beside(write, value: float | None, goal: float | None) -> str:
    return write(value) + (f" ({write(goal)})" if goal is not None and value is not None else "")


def prediction_table(records: Sequence[Record]) -> TextTable:
    """The table of rows/s of all contenders, and the ratio of mlpcore's first backend to torch or scikit-learn."""
    by_case = cases(records)
    names = list(dict.fromkeys(name for by_contender in by_case.values() for name in by_contender))
    our_name = next((name for name in names if name.startswith(OURS)), NONE)
    rows = []
    for (_, workload, batch, dtype, _), by_contender in by_case.items():
        gain = times(ratio(by_contender.get(our_name), best(by_contender, EAGER)))
        rows.append([workload, f"{batch:,}", dtype, *(count(rate(by_contender.get(name))) for name in names), gain])
    head = ["workload", "batch", "dtype", *names, f"{our_name} {BETTER} (1.00 x)"]
    return TextTable("prediction of class probabilities, rows/s", head, rows)
