"""The recipe of ``mlpcore train``: told, or chosen by the number of rows, with the fields that are told."""

import argparse
import dataclasses
from typing import Any

from mlpcore.configuration import check_count, check_number
from mlpcore.tabular.recipes import RECIPES
from mlpcore.training.recovery import CHOICES

SMALL = 50_000  # training rows up to which the strongest recipe takes minutes, not hours
RATES = ("learning_rate", "class_rate", "regression_rate")


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the network and its training."""
    group = parser.add_argument_group("network", "What is not told is that of the recipe.")
    group.add_argument(
        "--recipe",
        choices=("auto", *RECIPES),
        default="auto",
        help=f"network and training; auto: realmlp for up to {SMALL:,} training rows, else mlp, which is four times "
        "as fast and less accurate",
    )
    group.add_argument("--hidden", type=widths, metavar="N,N,...", help="widths of the hidden layers, such as 256,256")
    group.add_argument("--epochs", type=int, metavar="N", help="passes over the rows at most")
    group.add_argument("--batch-size", type=int, metavar="N", help="rows for each step")
    group.add_argument("--learning-rate", type=float, metavar="RATE", help="of the optimizer, at its peak")
    group.add_argument(
        "--on-nonfinite",
        choices=CHOICES,
        default="raise",
        help="where a step is not finite: end with an error, skip the batch, or restore the beginning of the epoch and "
        "train it again at half the rate",
    )
    group.add_argument("--time-limit", type=float, metavar="SECONDS", help="training ends after an epoch that is later")


def widths(text: str) -> tuple[int, ...]:
    """The widths in ``--hidden 256,256``."""
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no widths, expected whole numbers such as 256,256") from None


def check_recipe(arguments: argparse.Namespace) -> None:
    """ConfigurationError for values that no recipe can have."""
    for name in ("epochs", "batch_size"):
        if getattr(arguments, name) is not None:
            check_count("mlpcore train", **{name: getattr(arguments, name)})
    for i, width in enumerate(arguments.hidden or ()):
        check_count("mlpcore train", **{f"hidden[{i}]": width})
    for name in ("learning_rate", "time_limit"):
        if getattr(arguments, name) is not None:
            check_number("mlpcore train", **{name: getattr(arguments, name)}, above=0)


def told_recipe(arguments: argparse.Namespace, rows: int) -> tuple[str, Any]:
    """The name of the recipe for so many training rows, and the recipe with the fields that are told."""
    name = arguments.recipe if arguments.recipe != "auto" else "realmlp" if rows <= SMALL else "mlp"
    return name, with_told(RECIPES[name], arguments)


def with_told(recipe: Any, arguments: argparse.Namespace) -> Any:
    """A recipe with the fields that are told."""
    fields = {field.name for field in dataclasses.fields(recipe)}
    told = {name: getattr(arguments, name) for name in ("hidden", "epochs", "batch_size")}
    told |= dict.fromkeys(fields.intersection(RATES), arguments.learning_rate)
    return dataclasses.replace(recipe, **{name: value for name, value in told.items() if value is not None})
