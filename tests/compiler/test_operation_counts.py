"""What a training step costs, read off its graph and its schedule: exactly what the committed table says.

``PYTHONPATH=tests/helpers python tests/compiler/test_operation_counts.py`` writes the table anew: a change of it is a
change of speed, to be looked at.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from plan_cases import everything, mlp, traced_step

import mlpcore as mc
from mlpcore.compiler.graph import same_shape
from mlpcore.compiler.schedule import Loop
from mlpcore.training.rules import Rules

TABLE = Path(__file__).parents[1] / "golden" / "operations.json"


WORKLOADS = {
    "tiny 2-16-2": (mlp(2, 16, 2), Rules()),
    "digits 64-100-10": (mlp(64, 100, 10), Rules()),
    "tabular 32-128-128-8": (mlp(32, 128, 128, 8), Rules()),
    "deep 128-6x256-10": (mlp(128, *[256] * 6, 10), Rules()),
    "digits with l2, clipping and average": (mlp(64, 100, 10), Rules(1e-4, 1.0, 0.5, 0.99)),
    "normalised residual network with dropout": (everything(), Rules()),
}


def count(net: mc.Sequential, rules: Rules) -> dict[str, Any]:
    """Loops, products, passes over the vector of parameters, arrays written, and operations of a step by name."""
    program = traced_step(net, rules)
    vector = program.schedule.nodes[0]  # the parameters
    loops = [item for item in program.schedule.items if isinstance(item, Loop)]
    nodes = program.tracer.graph.needed()
    return {
        "loops": len(loops),
        "products": sum(node.kind == "matmul" for node in nodes),
        "loops over the vector": sum(same_shape(loop.axes, vector.shape) for loop in loops),
        "arrays written": sum(node.kind not in ("input", "constant") for node in program.storage.stored),
        "operations": dict(sorted(Counter(node.name for node in nodes if node.kind != "input").items())),
    }


@pytest.mark.parametrize("name", WORKLOADS)
def test_operations_of_a_step(name: str) -> None:
    expected = json.loads(TABLE.read_text())
    assert set(expected) == set(WORKLOADS)
    assert count(*WORKLOADS[name]) == expected[name]


if __name__ == "__main__":
    TABLE.write_text(json.dumps({name: count(*case) for name, case in WORKLOADS.items()}, indent=1) + "\n")
