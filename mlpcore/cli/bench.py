"""``mlpcore bench``: how fast training is on this machine, beside peers and the limit, in under two minutes."""

import argparse
import json
import time

from mlpcore.bench.about import about, advice
from mlpcore.bench.contenders import OURS
from mlpcore.bench.suite import Record, epochs
from mlpcore.bench.tables import as_text, cases, table, where
from mlpcore.bench.workloads import WORKLOADS
from mlpcore.configuration import check_choice, check_number
from mlpcore.files.writing import check_target, replace_file

QUICK = ("torch eager", "jax scan", "scikit-learn")  # peers that need no long compilation
ROUNDS, SECONDS = 3, 0.2  # of each contender in each round
BUDGET = 80.0  # seconds after which no workload is begun; the longest takes some ten of them on two cores
DEVICES = {"cupy": "cuda"}


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its arguments."""
    parser = commands.add_parser(
        "bench",
        help="measure the speed of training on this machine",
        description="Trains six networks for whole shuffled epochs, in turn with those of torch, JAX and scikit-learn "
        "that are installed, and with the matrix products alone (the limit). Takes less than two minutes. For figures "
        "that mean something let nothing else run meanwhile.",
    )
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--backend", default="numpy", help="numpy (the default), cupy, torch or jax")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where all train; by default that of the backend")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of parameters and products")
    parser.add_argument("--workloads", default=",".join(names), metavar="NAME,...", help=f"of {', '.join(names)}")
    parser.add_argument("--no-peers", action="store_true", help="mlpcore and the limit alone")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of a round for each, {SECONDS} by default")
    parser.add_argument("--json", metavar="FILE", help="write the records there too")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print each workload's table as soon as it is there."""
    if arguments.json:
        check_target(arguments.json)
    check_number("mlpcore bench", seconds=arguments.seconds, above=0)
    chosen = arguments.workloads.split(",")
    named = {workload.name: workload for workload in WORKLOADS}
    for name in chosen:
        check_choice("mlpcore bench", tuple(named), workloads=name)
    device = arguments.device or DEVICES.get(arguments.backend, "cpu")
    contenders = (OURS + arguments.backend, *(() if arguments.no_peers else QUICK))
    began, records = time.perf_counter(), list[Record]()
    for name in chosen:
        if time.perf_counter() - began > BUDGET:
            print(f"{name}: left out, the time is up; --workloads {name} measures it\n")
            continue
        settings = {"dtype": arguments.dtype, "device": device, "rounds": ROUNDS, "seconds": arguments.seconds}
        some = epochs(named[name], contenders, **settings)
        records += some
        for found in cases(some).values():
            print(as_text(table(found)), flush=True, end="\n\n")
    facts = about(device)
    print(where(facts))
    if arguments.backend == "numpy" and (hint := advice()):
        print(f"\n{hint}")
    if arguments.json:
        settings = {"rounds": ROUNDS, "seconds": arguments.seconds}
        text = json.dumps({"about": facts, "settings": settings, "records": records}, indent=1)
        replace_file(arguments.json, [text.encode()])
    return 0
