"""A script to run under compute-sanitizer: all kinds of kernels on few rows, every array with memory of its own."""

import warnings

import cupy
import numpy as np

import mlpcore as mc


def main() -> None:
    """Train and predict, captured and not, in every precision, and a stack."""
    warnings.simplefilter("error", mc.MlpcoreWarning)  # as where steps cannot be captured
    cupy.cuda.set_allocator(None)  # without the pool an access beside an array is outside of all memory
    cupy.cuda.set_pinned_memory_allocator(None)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((70, 13)).astype("float32")
    y = rng.integers(0, 5, 70)
    layers = (mc.Linear(13, 33), mc.BatchNorm(33), mc.GELU(), mc.Dropout(0.2), mc.Linear(33, 17), mc.LayerNorm(17))
    net = mc.Sequential(*layers, mc.ReLU(), mc.Linear(17, 5))
    rules = {"l2": 1e-3, "clip_norm": 1.0, "ema": 0.9}
    for precision, compile in (("highest", "auto"), ("highest", True), ("tf32", True), ("bfloat16", True)):
        words = {"backend": "cupy", "precision": precision, "compile": compile}
        model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.AdamW(1e-2), **words, **rules)
        history = model.fit(x, y, epochs=2, batch_size=4)
        assert np.all(np.isfinite(history.loss)), history.loss
        model.predict(x)
    models = [mc.Model(net, mc.SoftmaxCrossEntropy(), backend="cupy", seed=seed, compile=True) for seed in range(3)]
    mc.Stack(models).fit(x, y, epochs=2, batch_size=16)
    cupy.cuda.Device().synchronize()
    print("finished")


if __name__ == "__main__":
    main()
