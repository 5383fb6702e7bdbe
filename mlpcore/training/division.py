"""How the rows of a fit are divided among ranks, and checks that all ranks make the same fit."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mlpcore.backends.transfer import to_host
from mlpcore.configuration import check_choice
from mlpcore.errors import ConfigurationError
from mlpcore.numerics import weights_of_rows
from mlpcore.training.comparison import check_same, describe_fit, digest
from mlpcore.training.fits import Arguments
from mlpcore.training.loop import Trainer
from mlpcore.training.orders import Order, order_of_rows
from mlpcore.training.ranks import RankRun
from mlpcore.training.shards import GivenShards, Shards, order_of_ranks
from mlpcore.typing import Dataset

SAMPLE = 16  # rows that are compared between ranks, where all should have the same rows


def check_ranks(trainer: Trainer, shard: str, class_weight: Any) -> None:
    """ConfigurationError where several ranks cannot train this network, or not on rows of their own."""
    check_choice("fit", ("auto", "given"), shard=shard)
    ranks = trainer.communicator.size
    if ranks == 1:
        return
    if not trainer.net.row_independent:
        raise ConfigurationError(
            f"fit: in {trainer.net!r} the rows of a batch depend on each other, and {ranks} ranks divide every batch "
            "among them; use LayerNorm in place of BatchNorm, or distributed=None"
        )
    if shard == "given" and class_weight == "balanced":
        raise ConfigurationError(
            "fit: class_weight='balanced' counts the classes of one rank only; pass a dict with shard='given'"
        )


def divide(
    model: Any, data: Dataset, weights: np.ndarray, arguments: Arguments, held_out: Dataset | None, shard: str
) -> tuple[np.ndarray, Order]:
    """The weights of the rows of all ranks, and the order of these rows; it tells the trainer which it computes.

    With ``shard="auto"`` all ranks have the same rows, with "given" each has rows of its own, which are numbered from
    rank to rank. The seed is that of rank 0. RankError if the ranks' fits differ.
    """
    trainer, shuffle, asked = model.trainer, arguments.shuffle, model.compiled.asked
    communicator, rows = trainer.communicator, data.x.shape[0]
    if communicator.size == 1:
        return weights, order_of_rows(model.seed, rows, shuffle, asked)
    assert isinstance(trainer.run, RankRun)
    trainer.seed = communicator.broadcast(model.seed)
    check_same(communicator, _about(model, data, arguments, held_out, shard))
    if shard == "auto":
        trainer.run.shards = Shards(communicator)
        return weights, order_of_rows(trainer.seed, rows, shuffle, asked)
    counts = communicator.gather(rows)
    stops = np.cumsum(counts)
    trainer.run.shards = GivenShards(int(stops[communicator.rank]) - rows, int(stops[communicator.rank]))
    drawer = ThreadPoolExecutor(1)  # one thread for the orders of all ranks
    orders = [
        order_of_rows(trainer.seed, count, shuffle, asked, drawer, f"order.{rank}") for rank, count in enumerate(counts)
    ]
    order = order_of_ranks(orders, counts, min(arguments.batch_size, int(stops[-1])))
    return np.concatenate(communicator.gather(np.asarray(weights_of_rows(weights)))), order


def _about(model: Any, data: Dataset, arguments: Arguments, held_out: Dataset | None, shard: str) -> dict[str, Any]:
    """What must be the same on all ranks, as JSON values."""
    from mlpcore.compiler.build import find_compiler  # here, so that `import mlpcore` leaves the compiler out

    about = describe_fit(model.specification, data.x.shape[0], arguments.batch_size, arguments.shuffle)
    about |= {"epochs": arguments.epochs, "on_nonfinite": arguments.on_nonfinite}
    about |= {"shard": shard, "precision": model.precision}
    # Each backend, compiled or not, rounds in its own way, and the parameters of the ranks would drift apart.
    about |= {"backend": model.backend.name, "compile": model.compiled.asked, "C compiler": find_compiler() is not None}
    about["training data"] = _described(data, shard)
    about["validation_data"] = None if held_out is None else _described(held_out, shard)
    if shard == "given":
        about["rows"] = "those of each rank"
    return {name: value for name, value in about.items() if name != "seed"}


def _described(data: Dataset, shard: str) -> dict[str, str]:
    """The dtype and shape of a row of each array; where all ranks have the same rows, a digest of some of them."""
    if shard == "given":
        return {name: f"{array.dtype} {tuple(array.shape[1:])}" for name, array in data._asdict().items()}
    step = max(1, data.x.shape[0] // SAMPLE)
    return {name: digest(to_host(array[::step, ...])) for name, array in data._asdict().items()}
