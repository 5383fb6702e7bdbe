"""Trains on the rows of x.npy and y.npy in a folder: alone, or as one of several processes."""

import sys
from pathlib import Path

import numpy as np

import mlpcore as mc

folder, backend = Path(sys.argv[1]), sys.argv[2]
x, y = (np.load(folder / name, mmap_mode="r") for name in ("x.npy", "y.npy"))
net = mc.Sequential(mc.Linear(x.shape[1], 256), mc.ReLU(), mc.Dropout(0.1), mc.Linear(256, 10))
model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(1e-3), backend=backend, metrics=["accuracy"])
held_out = len(x) * 9 // 10
history = model.fit(
    x[:held_out],
    y[:held_out],
    epochs=20,
    batch_size=4096,
    shuffle="blocks",
    validation_data=(x[held_out:], y[held_out:]),
    callbacks=[mc.EarlyStopping(patience=5)],
    checkpoint=folder / "run",
    resume=folder / "run",
)
model.save(folder / "model.safetensors")
if model.rank == 0:
    print(f"{len(history)} epochs, accuracy {max(history['val_accuracy']):.3f}")
