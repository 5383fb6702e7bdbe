"""Lines of C in their braces, with declarations that are asked for after the lines that follow them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Scope:
    """What is declared at the beginning of the braces of a block: its lines, and the names of entries read there."""

    indent: int
    lines: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def declare(self, line: str) -> None:
        """One more declaration."""
        self.lines.append("  " * self.indent + line)


class Text:
    """Lines, and the scopes that are open, from the outermost to the innermost."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self._lines: list[str | Scope] = []
        self._indent = 0

    def emit(self, *lines: str) -> None:
        """Lines of the innermost braces."""
        self._lines += ["  " * self._indent + line for line in lines]

    @contextmanager
    def braces(self, head: str = "") -> Iterator[None]:
        """What is emitted within stands in braces after the head."""
        self.emit(f"{head} {{".lstrip())
        self._indent += 1
        yield
        self._indent -= 1
        self.emit("}")

    @contextmanager
    def scope(self) -> Iterator[Scope]:
        """A scope that begins here."""
        opened = Scope(self._indent)
        self._lines.append(opened)
        self.scopes.append(opened)
        yield opened
        self.scopes.pop()

    def all(self) -> list[str]:
        """Everything, declarations in their places."""
        return [line for part in self._lines for line in (part.lines if isinstance(part, Scope) else [part])]
