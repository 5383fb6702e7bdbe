"""Many networks at once on the device: a stack against one network, and against JAX's vmap over a scan."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

import mlpcore as mc
from benchmarks.device.cases import DEVICE, MEMBERS, PEERS_DEVICE, SECONDS, STACK_JAX, STACK_TIME, STACKED
from benchmarks.device.files import Record
from benchmarks.device.running import run_cases
from mlpcore.bench.measure import Run, alternate, repeat
from mlpcore.bench.peers import jax
from mlpcore.bench.suite import about_case
from mlpcore.bench.workloads import LEARNING_RATE, make_task
from mlpcore.errors import MissingDependency


def measure() -> list[Record]:
    """The records of an epoch: one network, a stack, each captured and not, and JAX with orders drawn beforehand."""
    task = make_task(STACKED)
    tree = [leaf for weight, bias in task.params for leaf in ({"weight": weight, "bias": bias}, {})][:-1]
    runs, skipped = dict[str, Run](), dict[str, str]()

    def model(seed: int, compile: bool | str) -> mc.Model:
        words = {"backend": "cupy", "seed": seed, "params": tuple(tree), "compile": compile}
        return mc.Model(STACKED.network(), mc.SoftmaxCrossEntropy(), mc.Adam(LEARNING_RATE), **words)

    backend = mc.get_backend("cupy")
    x, y = backend.asarray(task.x), backend.asarray(task.y)
    for word, compile in (("", "auto"), (" captured", True)):
        one = model(0, compile)
        stack = mc.Stack([model(seed, compile) for seed in range(MEMBERS)])
        for name, trained in ((f"mlpcore cupy{word}", one), (f"mlpcore cupy stack{word}", stack)):

            def run(times: int, trained: mc.Model | mc.Stack = trained) -> None:
                trained.fit(x, y, epochs=times, batch_size=STACKED.batch)
                backend.extras.synchronize()

            run(2)
            runs[name] = run
    try:
        rng = np.random.default_rng(3)
        orders = np.stack([rng.permutation(STACKED.rows) for _ in range(MEMBERS)])
        step = jax.stack(task, MEMBERS, PEERS_DEVICE)(orders.reshape(MEMBERS, STACKED.steps, STACKED.batch))
        step()
        runs["jax vmap scan"] = repeat(step)
    except (MissingDependency, RuntimeError) as error:
        skipped["jax vmap scan"] = str(error).splitlines()[0]
    facts = about_case("stack", STACKED, "float32", DEVICE) | {"members": MEMBERS, "steps": STACKED.steps}
    facts |= {"goals": {"time of one": STACK_TIME, "jax": STACK_JAX}}
    records = [
        facts | {"contender": name, "seconds": [float(f"{second:.6g}") for second in times]}
        for name, times in alternate(runs, 5, SECONDS).items()
    ]
    return records + [facts | {"contender": name, "skipped": reason} for name, reason in skipped.items()]


def main(argv: Sequence[str]) -> int:
    """Measure."""
    name = f"{MEMBERS} networks {STACKED.shape}, batch {STACKED.batch}"
    return run_cases(Path(argv[0]), "stacks", {name: partial(measure)}, seconds=SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
