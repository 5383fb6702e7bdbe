"""What happened in training, epoch by epoch: readable as lists, drawable as curves."""

from typing import Any


class History:
    """One row of numbers per epoch, in the order they were made.

    ``history["val_loss"]`` is the list of a column; ``loss``, ``val_loss``, ``learning_rate`` and
    ``rows_per_second`` are there as attributes too, empty where no epoch has them. ``stopped`` says why training ended
    before its last epoch, or is None. A metric's column is named like the metric with ``val_`` before it: metrics are
    taken on the validation data.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None, stopped: str | None = None) -> None:
        self.rows: list[dict[str, float]] = rows or []
        self.stopped = stopped

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        last = ", ".join(f"{key}={value:.6g}" for key, value in self.rows[-1].items()) if self.rows else "empty"
        return f"History({len(self)} epochs; last: {last})"

    def __getitem__(self, column: str) -> list[float]:
        """The column, for the epochs that have it; KeyError names the columns there are."""
        if column not in self.columns:
            raise KeyError(f"{column!r}; there are {', '.join(self.columns)}")
        return self._column(column)

    def _column(self, name: str) -> list[float]:
        return [row[name] for row in self.rows if name in row]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def loss(self) -> list[float]:
        """The mean objective over each epoch's batches, taken while the weights moved."""
        return self._column("loss")

    @property
    def val_loss(self) -> list[float]:
        """The mean loss on the validation data after each epoch."""
        return self._column("val_loss")

    @property
    def learning_rate(self) -> list[float]:
        """The learning rate of the next step after each epoch."""
        return self._column("learning_rate")

    @property
    def rows_per_second(self) -> list[float]:
        """Rows trained on per second, validation not counted."""
        return self._column("rows_per_second")

    def plot(self, ax: Any = None) -> Any:
        """The learning curves with matplotlib (extra ``plot``); returns the axes."""
        from mlpcore.plotting import plot_history

        return plot_history(self, ax)
