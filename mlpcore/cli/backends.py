"""``mlpcore backends``: lists the backends that are ready on this machine, and why the others are not."""

import argparse

from mlpcore.backends import available_backends

NAMED = (
    "numpy (the default), cupy, torch or jax; auto is numpy, or cupy where a GPU can be used and should be faster, by "
    "what mlpcore crossover has measured here or else by an estimate"
)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser("backends", help="list the backends that are ready, and why the others are not")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each backend."""
    print(report())
    return 0


def report() -> str:
    """A line for each backend: its name, and ``ready (...)`` or the reason why not."""
    statuses = available_backends()
    width = max(map(len, statuses))
    return "\n".join(
        f"  {name:<{width}}  {status if status.startswith('ready') else f'not ready: {status}'}"
        for name, status in statuses.items()
    )
