"""The rule for messages of errors: who, what was got, what was expected, and what to do where that is not clear."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

VERBS = (
    "add|begin|build|call|change|choose|convert|correct|close|decompress|divide|drop|enable|expand|fill|fit|free|give|"
    "increase|install|keep|leave|make|move|name|number|pass|pip|put|raise|rename|replace|reshape|restore|resume|save|see|"
    "set|start|take|train|try|upgrade|use|write"
)
# What is right, or what to do, which begins a clause; a text that is filled in after a semicolon is advice.
EXPECTED = r"\b(?:expected|must|needs?|allowed|requires|(?:can|may) only)\b"
REMEDY = re.compile(rf"{EXPECTED}|(?:[;.:?,]|\bor|\band) (?:{VERBS})\b|; #$", re.IGNORECASE)
# That something is not there says what to do, also where Python says it.
ABSENT = re.compile(r"^(?:there (?:is no (?:file|checkpoint)|are) |.*No such file or directory)")
# Words with which a message would name nobody; "Unknown label type: y" is scikit-learn's.
NOBODY = re.compile(r"^(?:invalid|wrong|bad|error|cannot|failed|unknown(?! label type)|must|expected) ", re.IGNORECASE)


def fault(message: str) -> str:
    """What is wrong with a message by the rule; empty for a good one."""
    if NOBODY.search(message):
        return "names nobody"
    if not REMEDY.search(message) and not ABSENT.search(message):
        return "says neither what is expected nor what to do"
    return "is not one line" if "\n" in message.strip() or message != message.strip() else ""


class Raised(NamedTuple):
    """A ``raise`` with a text: its file and line, the error, and the text with ``#`` for what is filled in."""

    file: str
    line: int
    error: str
    text: str


def raised(package: Path) -> Iterator[Raised]:
    """Every ``raise Error("...")`` in the modules of a package; those without a text of their own are left out."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = _text(node.exc.args[0])
                if text.strip("#: "):
                    yield Raised(str(path.relative_to(package)), node.lineno, ast.unparse(node.exc.func), text)


def _text(node: ast.expr) -> str:
    """The text of an expression of strings."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr():
            return "".join(_text(value) for value in node.values)
        case ast.BinOp(left=left, right=right):
            return _text(left) + _text(right)
    return "#"
