"""The learning curves."""

from typing import Any

from mlpcore.cli.report.markup import figure, paragraph, pictures, section
from mlpcore.cli.report.pictures import MUTED, picture
from mlpcore.cli.report.results import Results
from mlpcore.plotting import NOT_CURVES, plot_history

TITLE = "Learning curves"
LOSSES = ("loss", "val_loss")


def curves(results: Results) -> str:
    """The section with the losses of all epochs, and the measures on the validation rows."""
    history, best = results.history, results.best_epoch
    if not history.rows:
        return section(TITLE, paragraph("No epoch was completed, so there are no curves."))
    measured = any(name not in (*LOSSES, *NOT_CURVES) for name in history.columns)

    def draw(panel: Any, shown: int) -> None:
        axes = [type(panel)().subplots() for _ in range(1 + measured)]  # those of the other panel are not shown
        axes[shown] = panel.subplots()
        plot_history(history, axes)
        if best is not None:
            axes[shown].axvline(best, color=MUTED, linestyle="--", linewidth=1, label=f"kept, epoch {best}")
            axes[shown].legend(frameon=False)

    epochs = f"{len(history)} epoch{'s' * (len(history) > 1)}"
    kept = "The dashed line marks the epoch whose weights the model has." if best is not None else ""
    losses = picture("losses", f"The losses of {epochs}", lambda panel: draw(panel, 0))
    panels = [
        figure(
            losses,
            "Both losses should fall; where the validation loss rises while the training loss still falls, the network "
            f"learns the training rows by heart. The ring marks the lowest validation loss. {kept}"
            if history.val_loss
            else f"The loss of the training rows should fall and level off. {kept}",
        )
    ]
    if measured:
        measures = picture("measures", f"The quality on the validation rows in {epochs}", lambda panel: draw(panel, 1))
        panels.append(
            figure(measures, f"The quality on the validation rows after each epoch: higher is better. {kept}")
        )
    return section(TITLE, pictures(*panels))
