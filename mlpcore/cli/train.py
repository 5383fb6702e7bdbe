"""``mlpcore train``: trains on a table and writes a model file and its learning curves."""

import argparse
import os

import numpy as np

from mlpcore.backends import get_backend
from mlpcore.backends.choice import AUTO
from mlpcore.cli import digits
from mlpcore.cli.backends import NAMED
from mlpcore.cli.data import TEST, add_data, prepare, told_shares
from mlpcore.cli.fitting import fit, metric_of, shape_of
from mlpcore.cli.output import INTERRUPTED, one_line
from mlpcore.cli.parts import Parts, encode
from mlpcore.cli.quality import NETWORK, Measures, baselines, measures, next_lines, quality_lines, short
from mlpcore.cli.recipe import add_recipe, check_recipe, told_recipe, with_told
from mlpcore.cli.report import results_of, write_report
from mlpcore.cli.splits import split_rows
from mlpcore.configuration import check_number
from mlpcore.errors import ConfigurationError, MissingDependency
from mlpcore.files.writing import check_target, same_file
from mlpcore.plotting import load_matplotlib, save_history
from mlpcore.tables import listed
from mlpcore.tabular.members import deadline_of, new_model
from mlpcore.tabular.target import Target
from mlpcore.training.history import History

VERBS = ("train", "validate", "test")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "train",
        help="train a network on a table, or on the digits that come with scikit-learn",
        description="Trains a network and writes the model file, with the weights of the best epoch on validation "
        "rows, and a picture of the learning curves. Numbers, texts and dates are encoded, with their gaps, and the "
        "file stores how. What each column is taken for is printed first.",
    )
    add_data(parser)
    add_recipe(parser)
    parser.add_argument("--backend", default="numpy", help=NAMED)
    parser.add_argument("--device", help='of the backend, such as "cuda:1"; by default its usual one')
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="of parameters and products")
    parser.add_argument(
        "--precision", default="highest", help="of products: highest (the default), and on some backends tf32, bfloat16"
    )
    parser.add_argument(
        "--no-baselines",
        dest="baselines",
        action="store_false",
        help="do not train gradient-boosted trees to compare with",
    )
    parser.add_argument("--seed", type=int, default=0, help="determines split, initial weights, row orders and dropout")
    parser.add_argument(
        "--report", metavar="FILE.html", help="write a page: the data as understood, curves, quality, worth of columns"
    )
    parser.add_argument("-o", "--out", help="the model file, by default named like the data, in the current directory")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train, save, evaluate, and print the results."""
    builtin = arguments.data == "digits"
    for_files = (arguments.target, arguments.time, arguments.group, *arguments.types, *arguments.ignore)
    if builtin and (any(told is not None for told in for_files) or (arguments.task, arguments.test) != ("auto", TEST)):
        raise ConfigurationError(
            "train digits: target and test rows are fixed; leave out --target, --task, --types, --ignore, --test, "
            "--time and --group, which are for files"
        )
    check_number("mlpcore train", seed=arguments.seed, least=0, below=1 << 64)
    check_recipe(arguments)
    validation, test_share = told_shares(arguments)
    name = "stdin" if arguments.data == "-" else os.path.splitext(os.path.basename(arguments.data))[0]
    out = check_target(arguments.out or f"{name}.safetensors")
    picture = check_target(os.path.splitext(out)[0] + ".png")
    pairs = [(out, picture), *([] if builtin else [(path, arguments.data) for path in (out, picture)])]
    # On file systems that ignore case, names that differ only in case are the same file.
    if out.lower() == picture.lower() or any(same_file(*pair) for pair in pairs):
        raise ConfigurationError(f"--out is {out}: the model and its picture {picture} need different names")
    if arguments.report is not None:
        load_matplotlib()
        check_target(arguments.report, {"the model": out, "the picture": picture, "the table": arguments.data})
    words = {name: getattr(arguments, name) for name in ("dtype", "precision")}
    # A named backend is opened here, so that it fails early; "auto" is chosen for the network.
    named = arguments.backend != AUTO
    words["backend"] = get_backend(arguments.backend, arguments.device) if named else AUTO
    words["device"] = None if named else arguments.device
    if builtin:
        table, description, test = digits.load()
        y = description.target.read(table)
        rows = split_rows(table, description.target, y, (validation, 0.0), arguments.seed, test=test)
        parts, recipe_name = encode(table, description, rows, arguments.dtype), "realmlp-s"
        settings = with_told(digits.RECIPE, arguments)
    else:
        parts = prepare(arguments, validation, test_share)
        recipe_name, settings = told_recipe(arguments, len(parts.train[0]))
    recipe = settings.build(shape_of(parts), parts.train[0])
    model = new_model(
        recipe,
        parts.train[0],
        None if parts.description.target.labels else parts.train[1],
        arguments.seed,
        words | {"metrics": [metric_of(parts)]},
    )
    print(_introduction(name, parts), flush=True)
    summary = f"recipe {recipe_name}: {model.layout.size:,} parameters, {recipe.epochs} epochs at most"
    print(summary, flush=True)
    if model.backend_choice:
        print(one_line(f"backend: {model.backend_choice}"), flush=True)
    history, best_epoch = fit(model, recipe, parts, deadline_of(arguments.time_limit), arguments.on_nonfinite)
    if history.stopped:
        print(f"stopped: {history.stopped}", flush=True)
    model.save(out, **parts.description.save())
    print(one_line(f"model: {out}"), flush=True)
    quality, predictions = dict[str, Measures](), dict[str, np.ndarray]()  # of the last part: the test rows, if any
    held_out = [subset for subset in ("validation", "test") if getattr(parts, subset) is not None]
    for subset in held_out:
        x, y = getattr(parts, subset)
        predictions = {NETWORK: np.asarray(model.predict(x))}
        quality = {NETWORK: measures(predictions[NETWORK], y, parts.description.target)}
        print(_quality(subset, len(x), quality[NETWORK], parts.description.target), flush=True)
    if quality and not builtin and arguments.baselines:
        others = baselines(held_out[-1], parts, arguments.seed)
        predictions |= others
        quality |= {who: measures(one, y, parts.description.target) for who, one in others.items()}
        print(*quality_lines(held_out[-1], parts, quality), sep="\n", flush=True)
    print(one_line(_draw(history, picture, name)))
    commands = [] if builtin else [*next_lines(out, arguments.data)]
    if arguments.report is not None:
        facts = [("rows", _sizes(parts)), ("network", summary), ("epochs", f"{len(history)} of {recipe.epochs}")]
        facts += [("stopped", history.stopped)] if history.stopped else []
        write_report(
            arguments.report,
            results_of(
                name,
                facts,
                model,
                parts,
                history,
                quality,
                predictions,
                commands,
                best_epoch=best_epoch,
                seed=arguments.seed,
            ),
        )
        print(one_line(f"report: {arguments.report}"))
    for line in commands:
        print(line)
    return INTERRUPTED if history.stopped == "interrupted" else 0


def _introduction(name: str, parts: Parts) -> str:
    """A line with the numbers of rows and columns, and the classes."""
    labels = parts.description.target.labels
    classes = f", classes {listed(labels)}" if labels else ""
    return one_line(f"{name}: {len(parts.description.encoder.kept)} columns{classes}; {_sizes(parts)}")


def _sizes(parts: Parts) -> str:
    sizes = [f"{len(pair[0])} rows to {verb}" for pair, verb in zip(parts[1:], VERBS, strict=True) if pair is not None]
    return ", ".join(sizes)


def _quality(subset: str, rows: int, found: Measures, target: Target) -> str:
    """A line with the quality on a part of the rows, errors in the target's units."""
    if target.labels:
        return f"{subset} accuracy {100 * found['accuracy']:.2f} % of {rows} rows"
    return one_line(
        f"{subset} r2 {short(found['R2'])}, root mean squared error {found['root mean squared error']:.6g} in the "
        f"units of {target.name!r}, {rows} rows"
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
