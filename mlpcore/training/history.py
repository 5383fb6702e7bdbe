"""History: the losses, metrics, learning rate and speed of every epoch."""

from typing import Any


class History:
    """One row of numbers for each epoch, in order.

    ``history["val_loss"]`` is a column as a list. ``loss``, ``val_loss``, ``learning_rate`` and ``rows_per_second`` are
    attributes too, which are empty if no epoch has the column. ``stopped`` says why training ended before its last
    epoch, or is None. ``resumed_from`` is the path of the checkpoint that the fit has resumed, or None. Metrics are
    computed on the validation data; the column of a metric is its name with the prefix ``val_``.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None, stopped: str | None = None) -> None:
        self.rows: list[dict[str, float]] = rows or []
        self.stopped = stopped
        self.resumed_from: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        last = ", ".join(f"{key}={value:.6g}" for key, value in self.rows[-1].items()) if self.rows else "empty"
        return f"History({len(self)} epochs; last: {last})"

    def __getitem__(self, column: str) -> list[float]:
        """The column, for the epochs that have it; KeyError, with the existing columns, if there is none."""
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
        """The mean objective over each epoch's batches, each computed with the weights before its step."""
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
        """Rows per second in training, without the time of validation."""
        return self._column("rows_per_second")

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curves with matplotlib (extra ``plot``); returns the axes."""
        from mlpcore.plotting import plot_history

        return plot_history(self, ax)
