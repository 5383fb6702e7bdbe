"""Deployment by ONNX: train here, predict elsewhere with onnxruntime alone.

Quality: the accuracy of the served model beside that of the most frequent digit, and the same labels from both.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import mlpcore as mc
from mlpcore.onnx import to_onnx

SERVER = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
label, probabilities = session.run(["label", "probabilities"], {"X": np.load(sys.argv[2])})
assert "mlpcore" not in sys.modules
np.savez(sys.argv[3], label=label.astype("U"), probabilities=probabilities)
"""

x, y = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split((x / 16).astype("float32"), y, stratify=y, random_state=0)
net = mc.Sequential(mc.Linear(64, 64), mc.ReLU(), mc.Dropout(0.2), mc.Linear(64, 10))
model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(3e-3), seed=0)
model.fit(x, y, epochs=20, batch_size=64)

with tempfile.TemporaryDirectory() as folder:
    exported, rows, answer = (Path(folder) / name for name in ("digits.onnx", "rows.npy", "answer.npz"))
    to_onnx(model, exported, classes=[str(digit) for digit in range(10)])
    np.save(rows, x_test)
    # Another process, which has onnxruntime only; as well another machine, or a program in another language.
    subprocess.run([sys.executable, "-c", SERVER, exported, rows, answer], check=True)
    with np.load(answer) as served:
        labels, probabilities = served["label"].ravel(), served["probabilities"]
    print(f"the file has {exported.stat().st_size / 1e3:.0f} kB")

ours = model.predict(x_test)
accuracy = np.mean(labels == y_test.astype("U"))
trivial = np.bincount(y_test).max() / len(y_test)
print(f"accuracy as served {accuracy:.3f}, of the most frequent digit {trivial:.3f}")
print(f"probabilities differ by at most {np.abs(probabilities - ours).max():.1e}")

assert accuracy > 0.95 > trivial
assert np.array_equal(labels, ours.argmax(axis=1).astype("U"))
assert np.abs(probabilities - ours).max() < 1e-5
