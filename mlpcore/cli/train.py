"""``mlpcore train``: trains on a table and writes a model file and its learning curves."""

import argparse
import math
import os
from dataclasses import replace

from mlpcore.backends import get_backend
from mlpcore.cli import digits
from mlpcore.cli.output import INTERRUPTED, one_line
from mlpcore.cli.parts import Parts, encode, fit_encoder, split_rows
from mlpcore.cli.quality import next_lines, quality_lines
from mlpcore.cli.recipe import DIGITS, TABLE, build, fit
from mlpcore.cli.tables import DATA, add_reading, column_lines, read_data, told_names, told_types
from mlpcore.configuration import check_number
from mlpcore.errors import ConfigurationError, DataError, MissingDependency
from mlpcore.files.writing import check_target, same_file
from mlpcore.model import Model
from mlpcore.plotting import save_history
from mlpcore.tables import Table, listed
from mlpcore.tabular import TableEncoder
from mlpcore.tabular.columns import LEFT_OUT
from mlpcore.tabular.description import Description
from mlpcore.tabular.target import TASKS, understand_target
from mlpcore.training.history import History
from mlpcore.training.progress import Progress

LINES = 20  # of plain progress, where there is no terminal
SETTINGS = ("hidden", "epochs", "batch_size", "learning_rate", "validation")
VERBS = ("train", "validate", "test")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "train",
        help="train a network on a table, or on the digits that come with scikit-learn",
        description="Trains a network until the validation loss no longer improves, and writes the model file and a "
        "picture of the learning curves. Numbers, texts and dates are encoded, with their gaps, and the file stores "
        "how. What each column is taken for is printed first.",
    )
    parser.add_argument("data", metavar="DATA", help=f"{DATA}, or: digits")
    parser.add_argument("--target", help="the column to predict, by name or index (-1: the last); .npz: an array, y")
    parser.add_argument(
        "--types",
        action="append",
        default=[],
        metavar="NAME=KIND,...",
        help="numeric, categorical or date, for columns",
    )
    parser.add_argument("--ignore", action="append", default=[], metavar="NAME,...", help="columns to leave out")
    parser.add_argument(
        "--task", choices=("auto", *TASKS), default="auto", help="auto (the default) chooses by the target"
    )
    parser.add_argument(
        "--hidden", type=_widths, metavar="N,N,...", help="widths of the hidden layers, such as 256,256"
    )
    parser.add_argument("--backend", default="numpy", help="numpy (the default), cupy, torch or jax")
    parser.add_argument("--device", help='of the backend, such as "cuda:1"; by default its usual one')
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of parameters and products")
    parser.add_argument(
        "--precision", default="highest", help="of products: highest (the default), and on some backends tf32, bfloat16"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the rows at most")
    parser.add_argument("--batch-size", type=int, metavar="N", help="rows for each step")
    parser.add_argument("--learning-rate", type=float, metavar="RATE", help="of AdamW")
    parser.add_argument("--validation", type=float, metavar="SHARE", help="share of rows to validate with; 0: none")
    parser.add_argument(
        "--no-baselines",
        dest="baselines",
        action="store_false",
        help="do not train gradient-boosted trees to compare with",
    )
    parser.add_argument("--seed", type=int, default=0, help="determines split, initial weights, row orders and dropout")
    parser.add_argument("--out", help="the model file, by default named like the data, in the current directory")
    add_reading(parser)
    parser.set_defaults(run=run)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no widths, expected whole numbers such as 256,256") from None


def run(arguments: argparse.Namespace) -> int:
    """Train, save, evaluate, and print the results."""
    builtin = arguments.data == "digits"
    if builtin and (arguments.target is not None or arguments.task != "auto"):
        raise ConfigurationError("train digits: the target is the digit; --target and --task are for files")
    check_number("mlpcore train", seed=arguments.seed, least=0, below=1 << 64)
    settings = {name: getattr(arguments, name) for name in SETTINGS if getattr(arguments, name) is not None}
    recipe = replace(DIGITS if builtin else TABLE, **settings)
    name = "stdin" if arguments.data == "-" else os.path.splitext(os.path.basename(arguments.data))[0]
    out = check_target(arguments.out or f"{name}.safetensors")
    picture = check_target(os.path.splitext(out)[0] + ".png")
    pairs = [(out, picture), *([] if builtin else [(path, arguments.data) for path in (out, picture)])]
    # On file systems that ignore case, names that differ only in case are the same file.
    if out.lower() == picture.lower() or any(same_file(*pair) for pair in pairs):
        raise ConfigurationError(f"--out is {out}: the model and its picture {picture} need different names")
    backend = get_backend(arguments.backend, arguments.device)
    if builtin:
        table, description, test = digits.load()
        rows = split_rows(table, description.target, recipe.validation, arguments.seed, test)
        parts = encode(table, description, rows, arguments.dtype)
    else:
        parts = _prepare(arguments, recipe.validation)
    model = build(recipe, parts, backend, arguments.dtype, arguments.precision, arguments.seed)
    print(_introduction(name, parts), repr(model), sep="\n", flush=True)
    history = fit(model, recipe, parts, (Progress(max(1, recipe.epochs // LINES)),))
    if history.stopped:
        print(f"stopped: {history.stopped}", flush=True)
    model.save(out, **parts.description.save())
    print(f"model: {out}", flush=True)
    for subset in ("validation", "test"):
        if getattr(parts, subset) is not None:
            print(_quality(subset, model, parts))
            if not builtin and arguments.baselines:
                print(*quality_lines(subset, model, parts, arguments.seed), sep="\n", flush=True)
    print(_draw(history, picture, name))
    if not builtin:
        print(*next_lines(out, arguments.data), sep="\n")
    return INTERRUPTED if history.stopped == "interrupted" else 0


def _prepare(arguments: argparse.Namespace, share: float) -> Parts:
    """The encoded parts of the file's table; prints the chosen task, and what the columns are, with the reasons."""
    table = read_data(arguments, "y" if arguments.target is None else arguments.target)
    name = _target_name(table, arguments.target)
    target, why = understand_target(table, name, arguments.task)
    hint = "; --task decides otherwise" if arguments.task == "auto" else ""
    print(one_line(f"{target.task} of {name!r}, {why}{hint}"))
    types, ignore = told_types(arguments.types, table), told_names(arguments.ignore, table)
    features = [column for column in table.names if column != name]
    if not features:
        raise DataError(f"{table.source}: {name!r} is the only column, expected at least one to predict it from")
    if name in {*types, *ignore}:
        raise ConfigurationError(f"--types or --ignore names the target {name!r}; --task says what the target is")
    rows = split_rows(table, target, share, arguments.seed)
    # What is not encoded needs no notation.
    typed = table.read_as(dict.fromkeys([name, *ignore], LEFT_OUT) | types)
    encoder = fit_encoder(TableEncoder(types, ignore), typed, features, rows.train, arguments.seed)
    notations = {column: notation for column, notation in typed.notations.items() if column in encoder.encoders}
    print(*column_lines(encoder.columns, notations), sep="\n", flush=True)
    return encode(typed, Description(encoder, target, table.named, notations), rows, arguments.dtype)


def _target_name(table: Table, target: str | None) -> str:
    """The name of the target column; DataError if it is not told or not there."""
    if table.named and target is None:
        raise DataError(f"{table.source}: which column is to be predicted? --target takes {listed(table.names)}")
    name = table.find(str(target)) if table.named else target or "y"
    if name not in table.names:
        raise DataError(
            f"{table.source}: there is no array {name!r}, expected the target there; --target names another"
        )
    return name


def _introduction(name: str, parts: Parts) -> str:
    """A line with the numbers of rows and columns, and the classes."""
    sizes = [f"{len(pair[0])} rows to {verb}" for pair, verb in zip(parts[1:], VERBS, strict=True) if pair is not None]
    labels = parts.description.target.labels
    classes = f", classes {listed(labels)}" if labels else ""
    return one_line(f"{name}: {len(parts.description.encoder.kept)} columns{classes}; {', '.join(sizes)}")


def _quality(subset: str, model: Model, parts: Parts) -> str:
    """A line with the quality on a part of the rows, errors in the target's units."""
    rows, target = getattr(parts, subset), parts.description.target
    values = model.evaluate(*rows)
    if target.scaling is None:
        return f"{subset} accuracy {100 * values['accuracy']:.2f} % of {len(rows[0])} rows"
    error = math.sqrt(2 * values["loss"]) * float(target.scaling.scale[0])
    return one_line(
        f"{subset} r2 {values['r2']:.4f}, root mean squared error {error:.6g} in the units of {target.name!r}, "
        f"{len(rows[0])} rows"
    )


def _draw(history: History, path: str, name: str) -> str:
    """Draw the learning curves; returns a line with their path, or why there are none, which is no error."""
    if not history.rows:
        return "no picture: no epoch was completed"
    try:
        save_history(history, path, f"mlpcore train {name}")
    except (MissingDependency, OSError) as error:
        return f"no picture: {error}"
    return f"learning curves: {path}"
