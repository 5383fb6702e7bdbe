"""``mlpcore crossover``: measures from which size on the GPU pays here, and keeps it for ``backend="auto"``."""

import argparse
import time
from collections.abc import Sequence
from typing import Any

from mlpcore.backends import get_backend
from mlpcore.backends.backend import Backend
from mlpcore.backends.choice import setup
from mlpcore.bench.crossover import BATCHES, WIDTHS, measured, sizes
from mlpcore.bench.crossover_report import as_json, as_lines, document
from mlpcore.bench.tables import where
from mlpcore.cli.crossover_picture import save_crossover
from mlpcore.cli.output import one_line
from mlpcore.compiler.cache import CROSSOVER, configured, refusal
from mlpcore.configuration import check_number
from mlpcore.errors import BackendUnavailable, ConfigurationError
from mlpcore.files.writing import check_target, replace_file
from mlpcore.plotting import load_matplotlib

SECONDS, BUDGET = 0.06, 75.0


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "crossover",
        help="measure from which size on the GPU pays, for backend auto",
        description="Times training steps and predictions of small and large networks on NumPy and on CuPy, in turns, "
        "for about a minute; prints the times and the rule that follows from them, and keeps both in the cache folder. "
        'From then on backend="auto" follows the rule, until the card, its driver, the processor, the number of '
        "threads or a library changes. Without a GPU it says so and measures nothing. Run nothing else meanwhile.",
    )
    parser.add_argument("--device", help='of CuPy, such as "cuda:1"; by default the current one')
    parser.add_argument("--widths", type=_numbers, default=WIDTHS, metavar="N,...", help=f"of layers, {_list(WIDTHS)}")
    parser.add_argument("--batches", type=_numbers, default=BATCHES, metavar="N,...", help=f"rows, {_list(BATCHES)}")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"the length of a round of each backend, {SECONDS} by default"
    )
    parser.add_argument("--plot", metavar="FILE", help="also draw the ratios of the times, such as crossover.png")
    parser.add_argument("--json", action="store_true", help="print the measurement as JSON instead of the tables")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print and keep the result."""
    check_number("mlpcore crossover", seconds=arguments.seconds, above=0)
    if arguments.plot:
        check_target(arguments.plot)
        load_matplotlib()
    try:
        gpu, about = open_gpu(arguments.device)
    except BackendUnavailable as error:
        print(one_line(f'nothing to measure, backend="auto" is NumPy on this machine: {error}'))
        return 0
    began = time.perf_counter()
    grid = sizes(arguments.widths, arguments.batches)
    rows = list(measured(grid, gpu, arguments.seconds, BUDGET))
    content = document(rows, about, time.perf_counter() - began)
    text = as_json(content)
    kept = keep(text)
    if arguments.json:
        print(text, end="")
    else:
        print(as_lines(rows), end="\n\n")
        if len(rows) < 2 * len(grid):
            print(f"left out, as the time was up: {2 * len(grid) - len(rows)} of {2 * len(grid)} rows\n")
        print(one_line(f"{about['card']}: {where(content['about'])}"))
        print(one_line(kept))
    if arguments.plot:
        save_crossover(rows, arguments.plot, _title(about, content))
    return 0


def open_gpu(device: Any) -> tuple[Backend, dict[str, str]]:
    """CuPy on a device, and what its times depend on; BackendUnavailable without a usable GPU."""
    about = dict(setup(device))
    return get_backend("cupy", device), about


def keep(text: str) -> str:
    """Write the measurement to the cache folder; returns where it is, or why it is not kept."""
    path = configured() / CROSSOVER
    refused = refusal(path.parent)
    if refused:
        return f'not kept for backend="auto", as {path.parent} is not used: {refused}'
    try:
        replace_file(path, [text.encode()])
        path.chmod(0o600)
    except OSError as error:
        return f'not kept for backend="auto": {path}: {error.strerror or error}'
    return f'kept for backend="auto": {path}'


def _title(about: dict[str, str], content: dict[str, Any]) -> str:
    return f"{about['card']} against {content['about']['cpu']}, {about['threads']} threads, {content['date']}"


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers of a list with commas, each 1 or more."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise ConfigurationError(f"got {text!r}, expected a list of whole numbers of 1 or more, such as 64,256")
    return numbers


def _list(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers)) + " by default"
