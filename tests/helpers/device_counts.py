"""What training costs on a CUDA device, in a committed table: ``python tests/helpers/device_counts.py`` writes it anew.

A step's and a prediction's kernels, products and copies are read off what is printed. What a chunk of steps and an
epoch cost besides their steps is counted in fits on CuPy, which need a device, be it emulated; ``--printed`` keeps it.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from device_calls import counted
from fitting import with_extras
from printing import CASES, Case, Printed, programs, rows_of

import mlpcore as mc

TABLE = Path(__file__).parents[1] / "golden" / "device_counts.json"
STACKED = ("784-256-128-10", "layer BatchNorm", "layer Dropout", "all rules", "bfloat16")
Counts = dict[str, int]


def launched(printed: Printed, state_moves: bool = True) -> Counts:
    """The kernels, products and so on of a call of a program."""
    words = {"product": "products", "clear": "clears", "copy": "copies"}
    return dict(sorted(Counter(words.get(name, "kernels") for name in printed.bound(state_moves).launches).items()))


def of_programs(case: Case, dtype: str = "float32") -> dict[str, Counts]:
    """What a full batch's step, a captured step and a prediction cost; predictions that cannot be traced are not there.

    A captured step has products with epilogues, in float32. Its counts are the nodes of a CUDA graph.
    """
    steps, predictions = programs(case, dtype)
    found = {"step": launched(steps[0])}
    if dtype == "float32":
        found["captured step"] = launched(steps[0].with_epilogues(), state_moves=False)
    return found | {"prediction": launched(predictions[0])} if predictions else found


def of_fits(case: Case, counts: Counter, members: int = 1) -> dict[str, Counts]:
    """What a warm step, a chunk besides its steps, and an epoch besides its chunks ask of CUDA, in batches of 8 rows.

    ``counts`` is that of tests/helpers/device_calls.py. Several ``members`` are a stack.
    """
    # Epochs of 4 steps in one chunk, of 12 steps in one, and of 12 in three.
    few, many, cut = (_epoch(case._replace(batch=8), *of, counts, members) for of in ((4, 12), (12, 12), (12, 4)))
    step, chunk = _share(few, many, 8), _share(many, cut, 2)
    rest = {name: few[name] - 4 * step.get(name, 0) - chunk.get(name, 0) for name in few}
    return {"step": step, "chunk": chunk, "epoch": _some(rest)}


def _epoch(case: Case, steps: int, most: int, counts: Counter, members: int) -> Counter:
    """What an epoch costs with ``most`` steps in a chunk, which is the same for each but the first."""
    seen: list[Counter] = []

    class Noting:
        """A callback that notes the counts."""

        def on_epoch_end(self, report: Any) -> None:
            seen.append(counts.copy())

    backend = with_extras(mc.get_backend("cupy"), max_chunk_steps=most)
    words = {"backend": backend, "dtype": "float32", **case.words}
    models = [mc.Model(case.net, case.loss, case.optimizer, seed=i, **words) for i in range(members)]
    # In the last epoch, not counted, states are moved to memory of their own.
    data, fit = rows_of(case, case.batch * steps), {"epochs": 5, "batch_size": case.batch}
    if members == 1:
        models[0].fit(*data, callbacks=[Noting()], **fit)
    else:
        mc.Stack(models).fit(*data, callbacks=lambda model: [Noting()] if model is models[-1] else [], **fit)
    assert models[0].compiled.kind == "CUDA", models[0].compiled
    second, third = seen[2] - seen[1], seen[3] - seen[2]
    assert second == third, (second, third)
    return third


def _share(less: Counter, more: Counter, among: int) -> Counts:
    """What each of so many costs that make the difference."""
    found = {name: divmod(more[name] - less[name], among) for name in more | less}
    assert not any(left for _, left in found.values()), found
    return _some({name: each for name, (each, _) in found.items()})


def _some(counts: Counts) -> Counts:
    return {name: count for name, count in sorted(counts.items()) if count}


def read() -> dict[str, dict[str, Counts]]:
    """The table."""
    return json.loads(TABLE.read_text())


def write(table: dict[str, dict[str, Counts]]) -> None:
    """The table, a line for each case."""
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in table.items()]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def all_fits() -> dict[str, dict[str, Counts]]:
    """`of_fits` for all cases, in this process, which must not have imported CuPy yet."""
    counts = counted()
    return {name: of_fits(case, counts) for name, case in CASES.items()}


def all_stacks() -> dict[str, dict[str, Counts]]:
    """`of_fits` for stacks of several sizes, by case and size, in this process."""
    counts = counted()
    return {
        f"{name}, {members} members": of_fits(CASES[name], counts, members)
        for name in STACKED for members in (1, 2, 20)
    }  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", action="store_true", help="print what fits cost on CuPy's device, and write nothing")
    parser.add_argument("--stacks", action="store_true", help="print what fits of stacks cost, and write nothing")
    parser.add_argument("--printed", action="store_true", help="keep the counts of fits that are in the table")
    options = parser.parse_args()
    if options.fits or options.stacks:
        print(json.dumps(all_fits() if options.fits else all_stacks()))
        return
    fits = read() if options.printed else all_fits()
    besides = {name: {kind: one[kind] for kind in ("chunk", "epoch")} for name, one in fits.items()}
    write({name: of_programs(case) | besides[name] for name, case in CASES.items()})


if __name__ == "__main__":
    main()
