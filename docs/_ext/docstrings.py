"""Shows docstrings as they are written: lists of arguments, and names of Python objects without their module.

Docstrings are reStructuredText but for lists of arguments, lines ``name: meaning`` with the lines that continue them
indented. They become definition lists. A name in single backticks is looked for among the documented objects.
"""

from __future__ import annotations

import re
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment


ARGUMENT = re.compile(r'("?[a-z][\w-]*"?(?:, [a-z]\w*)*): (.*)')


def with_arguments(lines: list[str]) -> list[str]:
    """The lines of a docstring with its lists of arguments as definition lists."""
    text: list[str] = []
    for blank, block in groupby(lines, key=lambda line: not line):
        block = list(block)
        if not blank and ARGUMENT.match(block[0]) and all(ARGUMENT.match(line) or line[:4] == "    " for line in block):
            for line in block:
                match = ARGUMENT.fullmatch(line)
                text += [f"``{match[1]}``", f"    {match[2]}"] if match else [line]
        else:
            text += block
    return text


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Called with every docstring."""
    lines[:] = with_arguments(lines)


def left_out(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Whether a member is left out: what scikit-learn and Python define, which their documentation describes."""
    thing = getattr(thing, "fget", thing)
    module = getattr(thing, "__module__", None) or ""
    return True if name.startswith("set_") or (not module.startswith("mlpcore") and callable(thing)) else None


def exists(name: str) -> bool:
    """Whether there is such a module, or such a name in a module."""
    module, _, last = name.rpartition(".")
    try:
        import_module(name)
    except ModuleNotFoundError:
        return bool(module) and hasattr(import_module(module), last)
    return True


def resolve(app: Sphinx, env: BuildEnvironment, node: Element, contents: Element) -> Element | None:
    """The reference to a `Name` or `Name.method`, in any module (plain if it has no page), or to `docs/page.md`."""
    from sphinx.util.nodes import make_refnode  # here, as the tests of this module run without Sphinx

    if node.get("refdomain") != "py":
        return None
    domain, target = env.get_domain("py"), re.sub(r"^mc\.", "mlpcore.", node["reftarget"])
    page = target.removeprefix("docs/").removesuffix(".md")
    if target == f"docs/{page}.md" and page in env.found_docs:
        return make_refnode(app.builder, node["refdoc"], page, "", contents)
    ending = ".".join(target.split(".")[-1 if target.startswith("mlpcore.") else 0 :])
    found = [name for name in domain.objects if name.startswith("mlpcore.") and name.endswith(f".{ending}")]
    if found:
        best = min(found, key=lambda name: (name.count("."), name))
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", best, node, contents)
    return contents if target.startswith("mlpcore.") and exists(target) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """The extension, as Sphinx expects it."""
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", left_out)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
