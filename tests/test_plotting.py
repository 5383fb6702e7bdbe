"""Learning curves: the right numbers at the right places, in axes of the caller's or of our own."""

import sys

import pytest
from optional import optional

from mlpcore.errors import DataError, MissingDependency
from mlpcore.training.history import History

matplotlib = optional("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402  # after the choice of Agg
from matplotlib.figure import Figure  # noqa: E402

from mlpcore.plotting import plot_history, save_history  # noqa: E402

ROWS = [
    {"loss": 0.9, "learning_rate": 0.1, "rows_per_second": 5e4, "val_loss": 0.8, "val_accuracy": 0.5},
    {"loss": 0.5, "learning_rate": 0.1, "rows_per_second": 6e4, "val_loss": 0.4, "val_accuracy": 0.75},
    {"loss": 0.3, "learning_rate": 0.1, "rows_per_second": 6e4, "val_loss": 0.45, "val_accuracy": 1.0},
]
HISTORY = History(ROWS)


@pytest.fixture(autouse=True)
def no_figures_left():
    yield
    plt.close("all")


def curves(axis):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines}


LOSSES = {"training": ([0.5, 1.5, 2.5], [0.9, 0.5, 0.3]), "validation": ([1, 2, 3], [0.8, 0.4, 0.45])}
METRICS = {"validation accuracy": ([1, 2, 3], [0.5, 0.75, 1.0])}


def test_a_figure_of_its_own_with_a_panel_for_the_metrics():
    losses, metrics = HISTORY.plot()
    assert losses.figure is metrics.figure is plt.gcf()
    assert (curves(losses), curves(metrics)) == (LOSSES, METRICS)
    assert (losses.get_xlabel(), losses.get_ylabel()) == ("epoch", "loss (mean per row)")
    assert (metrics.get_xlabel(), metrics.get_ylabel()) == ("epoch", "accuracy (%)")
    losses.figure.canvas.draw()
    assert "100" in [label.get_text() for label in metrics.get_yticklabels()]
    assert not losses.get_position().overlaps(metrics.get_position())


def test_the_lowest_validation_loss_has_a_ring():
    (ring,) = HISTORY.plot()[0].collections
    assert ring.get_offsets().tolist() == [[2, 0.4]]
    assert ring.get_label() == "lowest, epoch 2"


def test_the_callers_axes_without_pyplot():
    figure = Figure()
    ax = figure.add_subplot()
    losses, metrics = plot_history(HISTORY, ax)
    assert losses is ax and metrics is not ax and len(figure.axes) == 2
    assert (curves(losses), curves(metrics)) == (LOSSES, METRICS)
    assert metrics.get_position().bounds == losses.get_position().bounds  # it shares the place: an axis on the right
    words = [text.get_text() for text in metrics.get_legend().get_texts()]
    assert words == ["training", "validation", "lowest, epoch 2", "validation accuracy"]
    assert plt.get_fignums() == []


def test_a_pair_of_axes():
    pair = Figure().subplots(2, 1)
    assert plot_history(HISTORY, pair) == tuple(pair)
    assert [curves(axis) for axis in pair] == [LOSSES, METRICS]
    with pytest.raises(DataError, match="ax has 1 axes, expected 2"):
        plot_history(HISTORY, pair[:1])


def test_a_history_of_losses_alone():
    history = History([{"loss": row["loss"]} for row in ROWS])
    (axis,) = history.plot()
    assert curves(axis) == {"training": LOSSES["training"]} and not axis.collections
    ax = Figure().add_subplot()
    assert plot_history(history, ax) == (ax,)


def test_several_metrics_and_gaps():
    rows = [{"loss": 1.0}, {"loss": 0.5, "val_r2": 0.1, "val_mean_absolute_error": 3.0}, {"loss": 0.4, "val_r2": 0.2}]
    _, metrics = History(rows).plot()
    expected = {"validation r2": ([2, 3], [0.1, 0.2]), "validation mean absolute error": ([2], [3.0])}
    assert curves(metrics) == expected
    assert metrics.get_ylabel() == "metrics"


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1.0, 0.5, 0.2], "linear"),
        ([1.0, 0.1, 0.01], "log"),
        ([1.0, -0.5, -3.0], "linear"),
        ([9.0, 1.0, 0.0], "linear"),
    ],
)
def test_losses_that_span_magnitudes_are_logarithmic(losses, scale):
    assert History([{"loss": loss} for loss in losses]).plot()[0].get_yscale() == scale


def test_a_picture_file(tmp_path):
    path = tmp_path / "curves.png"
    save_history(HISTORY, path, "mlpcore train $\\no{mathematics$")
    height, width, _ = plt.imread(path).shape
    assert (width, height) == (1620, 540)
    save_history(History([{"loss": 1.0}]), path)
    assert plt.imread(path).shape[:2] == (540, 810)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("name", "written", "begin"),
    [
        ("c.svg", "c.svg", b"<?xml"),
        ("c.pdf", "c.pdf", b"%PDF"),
        ("c", "c.png", b"\x89PNG"),
        ("c.d/e", "c.d/e.png", b"\x89P"),
    ],
)
def test_the_name_of_a_picture_file_says_its_kind(tmp_path, name, written, begin):
    (tmp_path / "c.d").mkdir()
    save_history(HISTORY, tmp_path / name)
    assert (tmp_path / written).read_bytes().startswith(begin)


def test_an_empty_history():
    with pytest.raises(DataError, match="no epochs"):
        plot_history(History())


def test_without_matplotlib(monkeypatch):
    for module in ("matplotlib.ticker", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    for draw in (plot_history, lambda history: save_history(history, "never.png")):
        with pytest.raises(MissingDependency, match=r"pip install 'mlpcore\[plot\]'"):
            draw(HISTORY)
