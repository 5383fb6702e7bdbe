"""Threads of the library: what a program may do that outlives its main thread, or that was forked."""

import multiprocessing
import subprocess
import sys

import numpy as np

from mlpcore.execution import tiled
from mlpcore.layers import Linear
from mlpcore.random import Stream

AFTER_THE_END = """
import threading, time
import numpy as np
import mlpcore as mc
from mlpcore.execution import tiled

def sums(params, x, target, weights, noise, full_batch):
    return x.sum(), weights.sum(), (), ()

def work():
    threading.main_thread().join()
    x = np.random.default_rng(0).normal(size=(64, 3))
    model = mc.Model(mc.Linear(3, 2), loss=mc.SoftmaxCrossEntropy(), optimizer=mc.SGD(0.1), seed=0)
    history = model.fit(x, (x[:, 0] > 0).astype(int), epochs=3, batch_size=8)
    value, weight, *_ = tiled(mc.Linear(3, 2), sums, 8, threads=2)((), x, x, np.ones(64), ())
    print(len(history), weight, np.isclose(value, x.sum()))

threading.Thread(target=work).start()
"""


def test_a_thread_goes_on_training_after_the_main_thread_has_ended() -> None:
    done = subprocess.run([sys.executable, "-c", AFTER_THE_END], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["3", "64.0", "True"], done.stderr


def test_tiles_on_threads_in_a_forked_process() -> None:
    net, x = Linear(3, 2), Stream(0).normal((64, 3))

    def sums(params: tuple, x: np.ndarray, target: np.ndarray, weights: np.ndarray, *_: tuple) -> tuple:
        return x.sum(), weights.sum(), (), ()

    function = tiled(net, sums, 8, threads=2)
    expected = function((), x, x, np.ones(64), ())[:2]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=lambda: answers.put(function((), x, x, np.ones(64), ())[:2]))
    child.start()
    try:
        assert answers.get(timeout=60) == expected
    finally:
        child.kill()
        child.join()
