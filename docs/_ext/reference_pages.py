"""Writes docs/reference/: a page for each group of public names, and one for each name.

The groups of `mlpcore` are the lists of its parts, so that a new layer, loss or optimizer has its page without more.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import mlpcore as mc
from mlpcore.metrics import METRICS

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config


FOLDER = Path(__file__).parent.parent / "reference"
PARTS = {
    "Layers": mc.layers,
    "Losses": mc.losses,
    "Optimizers": mc.optimizers,
    "Schedules": mc.schedules,
    "Initializers": mc.initializers,
    "Errors and warnings": mc.errors,
}
CONTRACTS = [
    "typing.Layer",
    "typing.Loss",
    "typing.Optimizer",
    "typing.Initializer",
    "typing.Training",
]
CONTRACTS += ["backends.backend.Backend", "training.rules.Rules", "random.Stream"]
OTHERS = {  # public modules beside `mlpcore` itself
    "scikit-learn": "mlpcore.sklearn",
    "Tables": "mlpcore.tabular",
    "ONNX": "mlpcore.onnx",
    "Several processes": "mlpcore.distributed",
}


def groups() -> dict[str, list[str]]:
    """Names with their modules, by the title of their page."""
    of_parts = {name for part in PARTS.values() for name in part.__all__}
    first = [name for name in mc.__all__ if name not in of_parts]
    pages = {"Models and training": [f"mlpcore.{name}" for name in first]}
    pages |= {title: [f"mlpcore.{name}" for name in part.__all__] for title, part in PARTS.items()}
    pages["Metrics"] = [f"mlpcore.metrics.{metric.__name__}" for metric in METRICS.values()]
    pages["Contracts"] = [f"mlpcore.{name}" for name in CONTRACTS]
    return pages | {
        title: [f"{module}.{name}" for name in import_module(module).__all__] for title, module in OTHERS.items()
    }


def file_name(title: str) -> str:
    """The name of a group's page."""
    return f"{title.lower().replace(' ', '-')}.rst"


def summary(name: str) -> str:
    """The first paragraph of a name's docstring, in one line."""
    module, _, last = name.rpartition(".")
    thing = getattr(import_module(module), last)
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].removesuffix("::").split())


def group_page(title: str, names: list[str]) -> str:
    """A group's page: a table of the names with their summaries."""
    text = f"{title}\n{'=' * len(title)}\n\n.. currentmodule:: {names[0].rpartition('.')[0]}\n\n"
    text += ".. list-table::\n   :widths: 1 3\n\n"
    text += "".join(f"   * - `{name.rpartition('.')[2]} <{name}>`\n     - {summary(name)}\n" for name in names)
    return text + "\n.. toctree::\n   :hidden:\n\n" + "".join(f"   names/{name}\n" for name in names)


def name_page(name: str) -> str:
    """The page of one name, with its methods where it is a class. Those of scikit-learn's bases are left out."""
    module, _, last = name.rpartition(".")
    text = f"{last}\n{'=' * len(last)}\n\n"
    if inspect.isclass(getattr(import_module(module), last)):
        inherited = name.startswith(("mlpcore.sklearn", "mlpcore.tabular", "mlpcore.Stack", "mlpcore.Ensemble"))
        return text + f".. autoclass:: {name}\n   :members:\n" + "   :inherited-members: object\n" * inherited
    return text + f".. autofunction:: {name}\n"


def write(app: Sphinx, config: Config) -> None:
    """Called before Sphinx looks for pages. Unchanged pages keep their time, so that they are not built again."""
    (FOLDER / "names").mkdir(parents=True, exist_ok=True)
    pages = {}
    for title, names in groups().items():
        pages[FOLDER / file_name(title)] = group_page(title, names)
        pages |= {FOLDER / "names" / f"{name}.rst": name_page(name) for name in names}
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in set(FOLDER.rglob("*.rst")) - set(pages):
        path.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    """The extension, as Sphinx expects it."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
