"""
Several processes, one model
============================

The same script under ``mpirun``: each process computes the sums over its rows of every batch, and one all-reduce adds
them up. So the parameters after training are those of one process, to the rounding of sums. Here the program starts
itself with one rank and with two.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

SCRIPT = """
import json
import numpy as np
import mlpcore as mc

rng = np.random.default_rng(0)
x = rng.normal(size=(600, 8))
y = np.sin(x @ rng.normal(size=(8, 1)))
net = mc.Sequential(mc.Linear(8, 32), mc.Tanh(), mc.Dropout(0.1), mc.Linear(32, 1))
model = mc.Model(net, mc.HalfSquaredError(), mc.Adam(0.01), dtype="float64")
losses = model.fit(x, y, epochs=30, batch_size=51).loss
if model.rank == 0:
    print(json.dumps({"losses": losses, "weights": model.params[0]["weight"].tolist()}))
"""

# %%
# In float64; a batch of 51 rows is divided into 26 and 25.

runs = []
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "train.py"
    path.write_text(SCRIPT)
    for ranks in (1, 2):
        command = [Path(sys.executable).parent / "mpiexec", "-n", str(ranks), sys.executable, "-m", "mpi4py", path]
        runs.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))

one, two = runs
apart = np.abs(np.array(two["weights"]) - one["weights"]).ravel()
assert apart.max() < 1e-12

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
left.plot(one["losses"], "C0", linewidth=6, alpha=0.6, label="one process")
left.plot(two["losses"], "C1", label="two processes")
left.set(xlabel="epoch", ylabel="loss", title="The loss, whoever computes it")
left.legend()
right.hist(np.log10(np.maximum(apart, 1e-18)), bins=np.arange(-18, -12, 0.25), color="C1")
right.set(
    xlabel="log10 of the difference (-18: none)", ylabel="weights", title="256 weights of two processes against one"
)
plt.show()
