"""Writes docs/api.md: every public name with its signature and the first paragraph of its docstring."""

import inspect
from pathlib import Path

import mlpcore as mc
from mlpcore.metrics import METRICS

METHODS = ("fit", "predict", "evaluate", "input_gradient", "integrated_gradients", "save", "to", "summary", "params")
METHODS += ("learning_rate", "rate_scale", "snapshot", "restore", "specification")
OWN = ("Activation", "Container")
STACK = ("fit", "predict", "evaluate", "group", "save", "load")
ENSEMBLE = ("predict", "std", "quantiles", "votes", "save", "load", "to_onnx")
TRAINER = ("epoch", "score", "predict", "vector", "snapshot", "restore")


CLASSES = ((mc.Model, METHODS), (mc.Stack, STACK), (mc.Ensemble, ENSEMBLE), (mc.Trainer, TRAINER))


def line(name: str, thing: object) -> str:
    """The entry of a name: ``- `name(arguments)`: first paragraph.``"""
    try:
        signature = str(inspect.signature(thing)).split(" -> ")[0] if callable(thing) else ""
    except ValueError:
        signature = ""
    words = inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    bare = "".join(signature.replace("self, ", "").replace("cls, ", "").replace("(self)", "()"))
    return f"- `{name}{_without_types(bare)}`: {words}"


def _without_types(signature: str) -> str:
    """A signature without annotations."""
    if not signature:
        return ""
    parts, depth, word, skip = [], 0, "", False
    for letter in signature[1:-1] + ",":
        depth += letter in "([{"
        depth -= letter in ")]}"
        if letter == "," and depth == 0:
            parts.append(word.strip().replace(" = ", "="))
            word, skip = "", False
        elif letter == ":" and depth == 0:
            skip = True
        elif letter == "=" and depth == 0 and skip:
            word, skip = word + "=", False
        elif not skip:
            word += letter
    return "(" + ", ".join(part.replace("= ", "=") for part in parts if part) + ")"


def page() -> str:
    """The whole page."""
    parts = {
        "Layers": mc.layers,
        "Losses": mc.losses,
        "Optimizers": mc.optimizers,
        "Schedules": mc.schedules,
        "Initializers": mc.initializers,
        "Errors and warnings": mc.errors,
    }
    of_parts = {name for part in parts.values() for name in part.__all__}
    others = [
        name
        for name in mc.__all__
        if name not in of_parts and name not in (*(kind.__name__ for kind, _ in CLASSES), *OWN)
    ]
    groups = {title: part.__all__ for title, part in parts.items()}
    groups = {"Callbacks, files, data, checks and backends": others, "Bases of own layers": OWN} | groups
    text = "# API\n\nThe public names, `import mlpcore as mc`. Formulas, shapes and sources are in the docstrings.\n"
    text += "Written by `python docs/make_api.py`.\n\n## Model\n\n"
    for kind, methods in CLASSES:
        text += line(kind.__name__, kind) + "\n"
        for name in methods:
            method = inspect.getattr_static(kind, name)
            text += "  " + line(f"{kind.__name__}.{name}", getattr(method, "__func__", method)) + "\n"
    for title, members in groups.items():
        text += f"\n## {title}\n\n" + "".join(line(name, getattr(mc, name)) + "\n" for name in members)
    text += "\n## Metrics, by name\n\n" + "".join(line(name, metric) + "\n" for name, metric in METRICS.items())
    return text


if __name__ == "__main__":
    (Path(__file__).parent / "api.md").write_text(page(), encoding="utf-8")
