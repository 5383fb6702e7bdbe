"""TensorBoard: what TensorBoard itself reads of the files of a fit, and of one that was killed and resumed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional
from tracked import KillAt, Killed, X, Y, events, fit, model, scalars

import mlpcore as mc
from mlpcore.errors import ConfigurationError, MissingDependency

optional("tensorboard")


def test_scalars_are_the_history_in_float32(tmp_path: Path) -> None:
    board = mc.TensorBoard(tmp_path / "new" / "runs")
    history = fit([board])
    folder = tmp_path / "new" / "runs" / "run"
    assert board.run == "run"
    assert set(events(folder).Tags()["tensors"]) == {"settings", "seconds", *history.columns}
    for name in history.columns:
        expected = [(i + 1, float(np.float32(value))) for i, value in enumerate(history[name])]
        assert scalars(folder, name) == expected, name
    assert [step for step, _ in scalars(folder, "seconds")] == [1, 2, 3, 4, 5]


def test_settings_are_a_table(tmp_path: Path) -> None:
    fit([mc.TensorBoard(tmp_path)], model(0.25, seed=3, clip_norm=2.0), epochs=1)
    text = events(tmp_path / "run").Tensors("settings")[0].tensor_proto.string_val[0].decode()
    for name, value in {"optimizer.learning_rate": 0.25, "batch_size": 20, "seed": 3, "clip_norm": 2.0}.items():
        assert f"| {name} | `{value}` |" in text
    assert "| network | `Sequential(Linear(3, 4), ReLU(), Linear(4, 2))` |" in text and "| parameters | `26` |" in text
    assert "clip_value" not in text  # which is off


def test_histograms_every_so_many_epochs(tmp_path: Path) -> None:
    network = model()
    fit([mc.TensorBoard(tmp_path, histograms=2)], network, epochs=4)
    tensors = events(tmp_path / "run")
    numbers = optional("tensorboard.util.tensor_util").make_ndarray
    for name, leaf in network.snapshot().items():
        written = tensors.Tensors(name)
        assert [event.step for event in written] == [2, 4]
        bins = numbers(written[-1].tensor_proto)  # (bins, 3): left, right, count
        assert bins[:, 2].sum() == leaf.size
        np.testing.assert_allclose([bins[0, 0], bins[-1, 1]], [leaf.min(), leaf.max()], rtol=1e-6)


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_resumed_fit_goes_on_in_its_run(epoch: int, tmp_path: Path) -> None:
    paths: dict[str, Any] = {"checkpoint": tmp_path / "checkpoint", "resume": tmp_path / "checkpoint"}

    class Lie:  # so that an epoch that was trained twice shows
        def on_epoch_end(self, report: Any) -> None:
            report.values["val_loss"] = 100.0

    with pytest.raises(Killed):
        fit([Lie(), mc.TensorBoard(tmp_path), KillAt(epoch)], **paths)
    assert [step for step, _ in scalars(tmp_path / "run", "loss")] == [*range(1, epoch + 1)]
    with open(next((tmp_path / "run").iterdir()), "ab") as file:
        file.write(b"\x18\x00\x00")  # the beginning of a record
    history = fit([mc.TensorBoard(tmp_path)], **paths)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1
    expected = [(i + 1, float(np.float32(loss))) for i, loss in enumerate(history.val_loss)]  # the first ones are lies
    assert scalars(tmp_path / "run", "val_loss") == expected and (epoch, 100.0) not in expected


def test_a_further_fit_appends_to_the_file(tmp_path: Path) -> None:
    board, network = mc.TensorBoard(tmp_path), model()
    for _ in range(12):
        fit([board], network, epochs=1)
    assert [step for step, _ in scalars(tmp_path / "run", "loss")] == [*range(1, 13)]
    assert len(list((tmp_path / "run").iterdir())) == 1


def test_every_fit_and_every_member_has_a_run(tmp_path: Path) -> None:
    board = mc.TensorBoard(tmp_path, run="rate-0.1")
    for _ in range(2):
        fit([board], epochs=1)
    stack = mc.Stack([model(seed=i) for i in range(2)])
    histories = stack.fit(X, Y, epochs=2, callbacks=[board])
    assert {path.name for path in tmp_path.iterdir()} == {"rate-0.1", "rate-0.1-2", "rate-0.1-3", "rate-0.1-4"}
    written = [[value for _, value in scalars(tmp_path / f"rate-0.1-{i}", "loss")] for i in (3, 4)]
    np.testing.assert_allclose(written, [history.loss for history in histories], rtol=1e-6)


def test_every_epoch_is_on_disk_at_once(tmp_path: Path) -> None:
    seen = []

    class Look:
        def on_epoch_end(self, report: Any) -> None:
            seen.append([step for step, _ in scalars(tmp_path / "run", "loss")])

    fit([mc.TensorBoard(tmp_path), Look()], epochs=2)
    assert seen == [[1], [1, 2]]


def test_it_needs_neither_tensorflow_nor_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from tracked import fit; import mlpcore as mc; fit([mc.TensorBoard(sys.argv[1], histograms=1)]);"
        "assert not {'tensorflow', 'torch', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True, cwd=Path(__file__).parent.parent / "helpers")


def test_arguments_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "a/b", ".."):
        with pytest.raises(ConfigurationError, match="expected the name of a folder"):
            mc.TensorBoard(tmp_path, run=name)
    with pytest.raises(ConfigurationError, match="histograms"):
        mc.TensorBoard(tmp_path, histograms=-1)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for part in [name for name in sys.modules if name.startswith("tensorboard.")]:
        monkeypatch.setitem(sys.modules, part, None)
    with pytest.raises(MissingDependency, match=r"pip install 'mlpcore\[tensorboard\]'"):
        mc.TensorBoard(tmp_path)
