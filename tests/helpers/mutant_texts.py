"""Small faults in Python text: the mutants of a file, as changed syntax trees with names that outlive moved lines."""

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.FloorDiv], ast.Pow: [ast.Mult], ast.BitAnd: [ast.BitOr], ast.BitOr: [ast.BitAnd],
    ast.LShift: [ast.RShift], ast.RShift: [ast.LShift],
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.And: [ast.Or], ast.Or: [ast.And],
}  # fmt: skip
SWAPPED = {"min": "max", "minimum": "maximum", "any": "all"}
SWAPPED |= {new: old for old, new in SWAPPED.items()}
SYMMETRIC = ("min", "max", "minimum", "maximum")  # calls whose arguments may be exchanged
LANGUAGE = ("isinstance", "issubclass", "getattr", "hasattr", "setattr", "cast")  # those that then always fail
# Without effects on results.
LEFT_OUT = {"annotation", "returns", "decorator_list", "type_params"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Edit = Callable[[ast.AST], ast.AST]


class Mutant(NamedTuple):
    """One fault: where it is, what it changes, and the edits that make it.

    ``path`` leads from the module to the changed node; ``line`` is that of its statement's first line. ``in_body``:
    only the code of a function changes, not what is computed when the module is imported.
    """

    file: str
    function: str
    change: str
    line: int
    lines: tuple[int, int]  # of the innermost class, or of the module, whose tests see a change outside functions
    path: tuple[tuple[str, int | None], ...]
    edit: Edit
    in_body: bool

    @property
    def key(self) -> str:
        """The name: the same as long as the changed expression stays in its function."""
        return f"{self.file}::{self.function}: {self.change}"

    def tree(self, source: str) -> ast.Module:
        """The module with the fault."""
        module = ast.parse(source)
        node: ast.AST = module
        for field, index in self.path[:-1]:
            value = getattr(node, field)
            node = value if index is None else value[index]
        field, index = self.path[-1]
        value = getattr(node, field)
        old = value if index is None else value[index]
        new = ast.copy_location(self.edit(old), old)
        if index is None:
            setattr(node, field, new)
        else:
            value[index] = new
        return ast.fix_missing_locations(module)


def mutants(root: Path, file: str) -> list[Mutant]:
    """All mutants of a file, in the order of its text."""
    module = ast.parse((root / file).read_text())
    walk = _Walk(file, module)
    return [mutant._replace(change=change) for mutant, change in _numbered(walk.visit(module, ()))]


def _numbered(found: Iterator[Mutant]) -> Iterator[tuple[Mutant, str]]:
    seen: Counter[str] = Counter()
    for mutant in found:
        seen[mutant.key] += 1
        yield mutant, mutant.change + (f" ({seen[mutant.key]})" if seen[mutant.key] > 1 else "")


class _Walk:
    """Goes through a module and yields the mutants of each node."""

    def __init__(self, file: str, module: ast.Module) -> None:
        self.file, self.names, self.line, self.in_body = file, [], 1, False
        self.parent: ast.AST = module
        self.lines = (1, module.body[-1].end_lineno or 1)

    def visit(self, node: ast.AST, path: tuple) -> Iterator[Mutant]:
        before = self.names, self.line, self.lines, self.parent
        if isinstance(node, ast.stmt):
            self.line = node.lineno
        if path and not isinstance(node, (ast.operator, ast.cmpop, ast.boolop)):
            for edit in edits(node, self.in_body):
                change = self._change(node, path[-1], edit)
                if change is None:  # equal arguments, exchanged
                    continue
                where = ".".join(self.names) or "module"
                yield Mutant(self.file, where, change, self.line, self.lines, path, edit, self.in_body)
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            self.names = [*self.names, node.name]
        if isinstance(node, ast.ClassDef):
            self.lines = (node.lineno, node.end_lineno or node.lineno)
        for field, value in ast.iter_fields(node):
            if field in LEFT_OUT or isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
                continue
            if isinstance(node, ast.keyword) and node.arg == "strict":
                continue
            self.parent, outside = node, self.in_body
            self.in_body |= field == "body" and isinstance(node, FUNCTIONS)
            for index, child in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(child, ast.AST) and not _docstring(child):
                    yield from self.visit(child, (*path, (field, index if isinstance(value, list) else None)))
            self.in_body = outside
        self.names, self.line, self.lines, self.parent = before

    def _change(self, node: ast.AST, place: tuple[str, int | None], edit: Edit) -> str | None:
        """What stands there before and after; a name or a number in the expression around it."""
        field, index = place
        old, new = node, edit(copy.deepcopy(node))
        if isinstance(node, (ast.Constant, ast.Name)) and isinstance(self.parent, (ast.expr, ast.keyword, ast.Return)):
            value = new if index is None else [*getattr(self.parent, field)]
            if index is not None:
                value[index] = new
            old, new = self.parent, _with(self.parent, **{field: value})
        before, after = (ast.unparse(ast.fix_missing_locations(one)) for one in (old, new))
        return None if before == after else f"{before} -> {after}"


def _docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def edits(node: ast.AST, in_body: bool) -> Iterator[Edit]:
    """The faults of one node."""
    match node:
        case ast.BinOp(op=ast.BitOr()) if not in_body:
            return  # a union of types
        case ast.BinOp(op=ast.MatMult()):
            yield lambda node: ast.BinOp(node.right, node.op, node.left)
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp():
            for new in OPERATORS.get(type(node.op), []):
                yield lambda node, new=new: _with(node, op=new())
        case ast.Compare():
            for place, op in enumerate(node.ops):
                for new in OPERATORS.get(type(op), []):
                    yield lambda node, new=new, place=place: _with(
                        node, ops=[*node.ops[:place], new(), *node.ops[place + 1 :]]
                    )
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield lambda node: node.operand
        case ast.Constant(value=bool()):
            yield lambda node: ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield lambda node: ast.Constant(node.value + 1)
            if node.value == 1:
                yield lambda node: ast.Constant(type(node.value)(0))
        case ast.Slice():
            for part in ("lower", "upper", "step"):
                if getattr(node, part):
                    yield lambda node, part=part: _with(node, **{part: None})
        case ast.Name(id=name) if name in SWAPPED:
            yield lambda node: ast.Name(SWAPPED[node.id], node.ctx)
        case ast.Attribute(attr=name) if name in SWAPPED:
            yield lambda node: _with(node, attr=SWAPPED[node.attr])
        case ast.Call():
            for place, keyword in enumerate(node.keywords):
                if keyword.arg not in (None, "strict"):
                    yield lambda node, place=place: _with(
                        node, keywords=[*node.keywords[:place], *node.keywords[place + 1 :]]
                    )
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if (
                len(node.args) > 1
                and name not in (*SYMMETRIC, *LANGUAGE)
                and not any(isinstance(one, ast.Starred) for one in node.args[:2])
            ):
                yield lambda node: _with(node, args=[node.args[1], node.args[0], *node.args[2:]])
        case ast.Return(value=ast.expr()) if not (isinstance(node.value, ast.Constant) and not node.value.value):
            yield lambda node: ast.Return(ast.Constant(None))
    if isinstance(node, (ast.If, ast.IfExp, ast.While)) and not isinstance(node.test, (ast.Compare, ast.UnaryOp)):
        yield lambda node: _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
        return  # NotImplementedError of an abstract method, or an error that is raised again
    if in_body and (
        isinstance(node, (ast.AugAssign, ast.Raise, ast.Continue, ast.Break))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        or (isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Attribute, ast.Subscript)))
    ):
        yield lambda node: ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new
