"""``mlpcore cache``: shows the cache of compiled libraries and the compiler; ``clear`` empties the cache."""

import argparse
import shlex

from mlpcore.backends.choice import kept
from mlpcore.compiler import cache
from mlpcore.compiler.build import find_compiler, no_compiler


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "cache",
        help="show or clear the compiled libraries that are kept on this machine",
        description="Compiled training steps are kept from one process to the next; those not used for 30 days are "
        "removed. What mlpcore crossover has measured is kept at any age. The environment variable MLPCORE_CACHE_DIR "
        "moves the folder.",
    )
    parser.add_argument("action", nargs="?", choices=("show", "clear"), default="show", help="show by default")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Clear the cache if requested, and print its state."""
    if arguments.action == "clear":
        cache.clear()
    print(report())
    return 0


def report() -> str:
    """The lines about the cache: folder, or why it is not used; its libraries and measurement; the compiler."""
    folder = cache.configured()
    refused, (number, size) = cache.refusal(folder), cache.usage()
    compiler = find_compiler()
    lines = {
        "folder": f"{folder}" + (f" (not used: {refused})" if refused else ""),
        "libraries": f"{number}",
        "size": f"{size / 1e6:.1f} MB",
        "crossover": _crossover(),
        "compiler": f"{shlex.join(compiler.command)} ({compiler.version()})" if compiler else no_compiler(),
    }
    return "\n".join(f"  {name:<9}  {text}" for name, text in lines.items())


def _crossover() -> str:
    """What is kept of `mlpcore crossover`."""
    measurement, ignored = kept()
    return f"measured on {measurement.date}" if measurement else ignored or "not measured; see mlpcore crossover --help"
