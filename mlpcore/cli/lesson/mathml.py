"""Prints expressions such as ``dy * (1 - y**2)`` as MathML, which browsers show and screen readers read."""

import ast
from collections.abc import Mapping

SUM, PRODUCT, SIGN, POWER, ATOM = range(5)  # how strongly a term binds
SYMBOLS = {"rate": "η", "alpha": "α", "scale": "λ", "Phi": "Φ", "phi": "φ", "sigma": "σ"}
SCALARS = ("rate", "alpha", "scale")  # products with them need no sign
COMPARISONS: dict[type, str] = {ast.Gt: "&gt;"}


def formula(result: str, expression: str, names: Mapping[str, str], relation: str = "=") -> str:
    """The line ``result = expression``; ``names`` maps names in the expression to MathML, others are shown as such."""
    left, right = term(result, names), term(expression, names)
    return f'<math display="block"><mrow>{left}<mo>{relation}</mo>{right}</mrow></math>'


def inline(content: str) -> str:
    """MathML within a sentence."""
    return f"<math>{content}</math>"


def symbol(letter: str, index: int | str = "", over: str = "") -> str:
    """A letter with an index: ``symbol("W", 2)`` is the weight of layer 2; ``over`` is a letter of a derivative."""
    named = f"<mi>{letter}</mi>"
    if index != "":
        kind = "mn" if isinstance(index, int) else "mi"
        named = f"<msub>{named}<{kind}>{index}</{kind}></msub>"
    if not over:
        return named
    return f"<mfrac><mrow><mo>∂</mo><mi>{over}</mi></mrow><mrow><mo>∂</mo>{named}</mrow></mfrac>"


def term(expression: str, names: Mapping[str, str]) -> str:
    """The MathML of an expression of Python; ValueError for what it has no sign for."""
    return _printed(ast.parse(expression, mode="eval").body, names)[0]


def _printed(node: ast.expr, names: Mapping[str, str]) -> tuple[str, int]:
    """The text, and how strongly it binds."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return f"<mn>{value}</mn>", ATOM
        case ast.Name(id=name):
            return names.get(name, symbol(SYMBOLS.get(name, name))), ATOM
        case ast.Attribute(value=inner, attr="T"):
            return f"<msup>{_bound(inner, names, ATOM)}<mi mathvariant='normal'>T</mi></msup>", ATOM
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return f"<mo>−</mo>{_bound(inner, names, PRODUCT)}", SIGN
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            sign = COMPARISONS[type(operator)]
            return f"{_bound(left, names, SUM)}<mo>{sign}</mo>{_bound(right, names, SUM)}", SUM
        case ast.BinOp(left=left, op=operator, right=right):
            return _of_two(left, operator, right, names)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, arguments, names)
    raise ValueError(f"no sign for {ast.unparse(node)!r}")


def _of_two(left: ast.expr, operator: ast.operator, right: ast.expr, names: Mapping[str, str]) -> tuple[str, int]:
    match operator:
        case ast.Add():
            return f"{_bound(left, names, SUM)}<mo>+</mo>{_bound(right, names, SUM)}", SUM
        case ast.Sub():
            return f"{_bound(left, names, SUM)}<mo>−</mo>{_bound(right, names, PRODUCT)}", SUM
        case ast.Mult():
            scalar = isinstance(left, ast.Constant) or (isinstance(left, ast.Name) and left.id in SCALARS)
            sign = '<mspace width="0.15em"/>' if scalar else "<mo>⊙</mo>"
            return f"{_bound(left, names, PRODUCT)}{sign}{_bound(right, names, PRODUCT)}", PRODUCT
        case ast.MatMult():
            return f"{_bound(left, names, PRODUCT)}<mo>·</mo>{_bound(right, names, PRODUCT)}", PRODUCT
        case ast.Div():
            above, below = _bound(left, names, SUM), _bound(right, names, SUM)
            return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>", ATOM
        case ast.Pow():
            return f"<msup><mrow>{_bound(left, names, ATOM)}</mrow>{_bound(right, names, ATOM)}</msup>", POWER
    raise ValueError(f"no sign for {type(operator).__name__}")


def _call(name: str, arguments: list[ast.expr], names: Mapping[str, str]) -> tuple[str, int]:
    if name == "where":
        condition, yes, no = (_bound(argument, names, SUM) for argument in arguments)
        cases = ((yes, f"<mtext>where </mtext>{condition}"), (no, "<mtext>elsewhere</mtext>"))
        rows = "".join(f"<mtr><mtd>{value}</mtd><mtd>{when}</mtd></mtr>" for value, when in cases)
        return f"<mrow><mo>{{</mo><mtable columnalign='left'>{rows}</mtable></mrow>", ATOM
    inner = [_bound(argument, names, SUM) for argument in arguments]
    if name == "exp":
        return f"<msup><mi>e</mi><mrow>{inner[0]}</mrow></msup>", POWER
    if name in ("sum", "sum_rows"):
        over = "<mtext>rows</mtext>" if name == "sum_rows" else "<mtext>entries</mtext>"
        return f"<munder><mo movablelimits='false'>∑</mo>{over}</munder>{_bound(arguments[0], names, PRODUCT)}", PRODUCT
    return f"<mi>{SYMBOLS.get(name, name)}</mi>{_bracketed('<mo>,</mo>'.join(inner))}", ATOM


def _bound(node: ast.expr, names: Mapping[str, str], least: int) -> str:
    """The text, in brackets if it binds less strongly than what is around it."""
    text, strength = _printed(node, names)
    return text if strength >= least else _bracketed(text)


def _bracketed(text: str) -> str:
    return f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>"
