"""Indented lines of C, and declarations that can be added to an open scope later."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Scope:
    """The declarations at the beginning of a block, and the variables of loads hoisted to it, by their expression."""

    indent: int
    lines: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def declare(self, line: str) -> None:
        """Add a declaration."""
        self.lines.append("  " * self.indent + line)


class Text:
    """Lines of C, and the open scopes from the outermost to the innermost."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self._lines: list[str | Scope] = []
        self._indent = 0

    def emit(self, *lines: str) -> None:
        """Add lines at the current indentation."""
        self._lines += ["  " * self._indent + line for line in lines]

    @contextmanager
    def braces(self, head: str = "") -> Iterator[None]:
        """Put what is emitted within in braces after the head."""
        self.emit(f"{head} {{".lstrip())
        self._indent += 1
        yield
        self._indent -= 1
        self.emit("}")

    @contextmanager
    def scope(self) -> Iterator[Scope]:
        """Open a scope here."""
        opened = Scope(self._indent)
        self._lines.append(opened)
        self.scopes.append(opened)
        yield opened
        self.scopes.pop()

    def all(self) -> list[str]:
        """All lines, with the declarations of every scope at its beginning."""
        return [line for entry in self._lines for line in (entry.lines if isinstance(entry, Scope) else [entry])]
