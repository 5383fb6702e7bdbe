"""Appends the whole printed C of a small network to the page on the compiler, from a run while the site is built."""

from pathlib import Path

import numpy as np
from sphinx.application import Sphinx

import mlpcore as mc

FILE = Path(__file__).parent.parent / "_build" / "printed" / "step.c"
SECTION = """
## The whole text

The C of the training step above, as this site's build has printed it: first the functions that loops call, then the
phases of the step, then the loop over steps.

```{literalinclude} /_build/printed/step.c
:language: c
```
"""


def write(app: Sphinx) -> None:
    """Called before pages are read."""
    net = mc.Sequential(mc.Linear(2, 3), mc.Tanh(), mc.Linear(3, 1))
    model = mc.Model(net, mc.SigmoidCrossEntropy(), mc.SGD(0.1), compile=True)
    x = np.random.default_rng(0).normal(size=(64, 2))
    model.fit(x, (x[:, 0] * x[:, 1] > 0).astype(int), epochs=1, batch_size=16)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(model.compiled.source, encoding="utf-8")


def append(app: Sphinx, name: str, source: list[str]) -> None:
    """Called with every page."""
    if name == "compiler":
        source[0] += SECTION


def setup(app: Sphinx) -> dict[str, bool]:
    """The extension, as Sphinx expects it."""
    app.connect("builder-inited", write)
    app.connect("source-read", append)
    return {"parallel_read_safe": True}
