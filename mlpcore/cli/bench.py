"""``mlpcore bench``: measures training speed on this machine, with peers and the limit, in under two minutes."""

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
BUDGET = 80.0  # seconds after which no further workload is started; the longest takes some 10 s on two cores
DEVICES = {"cupy": "cuda"}


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "bench",
        help="measure the speed of training on this machine",
        description="Trains six networks for whole shuffled epochs, alternating with torch, JAX and scikit-learn where "
        "they are installed, and with the matrix products alone (the limit). Takes less than two minutes. For reliable "
        "figures run nothing else at the same time.",
    )
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--backend", default="numpy", help="numpy (the default), cupy, torch or jax")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="the device of all contenders; by default that of the backend"
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of parameters and products")
    parser.add_argument(
        "--workloads", default=",".join(names), metavar="NAME,...", help=f"one or more of {', '.join(names)}"
    )
    parser.add_argument("--no-peers", action="store_true", help="only mlpcore and the limit")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"the length of a round of each contender, {SECONDS} by default"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the records to this file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the table of each workload as soon as it is measured."""
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
        case_records = epochs(named[name], contenders, **settings)
        records += case_records
        for by_contender in cases(case_records).values():
            print(as_text(table(by_contender)), flush=True, end="\n\n")
    facts = about(device)
    print(where(facts))
    if arguments.backend == "numpy" and (hint := advice()):
        print(f"\n{hint}")
    if arguments.json:
        settings = {"rounds": ROUNDS, "seconds": arguments.seconds}
        text = json.dumps({"about": facts, "settings": settings, "records": records}, indent=1)
        replace_file(arguments.json, [text.encode()])
    return 0
