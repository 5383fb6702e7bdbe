"""Formulas as MathML, which browsers draw themselves: no script, and nothing to load from a network."""

import re

from docutils.nodes import Element, SkipNode
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

PRIME = re.compile(r"<msup>((?:(?!<msup>).)*?)<mi>&#x02032;</mi></msup>")
NAME = r"<mi>(?:log|exp|sin|cos|sinh|cosh|tanh|max|min)</mi>"
BEFORE_NAME = re.compile(rf"(</(?:mi|mn|msub|msup)>)(?={NAME})")
AFTER_NAME = re.compile(rf"({NAME})(?=<(?:mi|mn|msub|msup|munder|munderover|mrow|mfrac)\b)")
UNKNOWN = re.compile(r">(\\[a-zA-Z]+|&|\\\\)<")  # what the converter does not know stays as it is
logger = logging.getLogger(__name__)


def mathml(node: Element, display: str) -> str:
    """The formula of a node; a warning where it has a command that is not known."""
    formula = node.astext().replace("{aligned}", "{align*}")
    text = convert(formula, display=display)
    if found := UNKNOWN.search(text):
        logger.warning(f"{found[1]} is not known in the formula {formula}", location=node)
    for place in (BEFORE_NAME, AFTER_NAME):
        text = place.sub(r'\1<mspace width="0.17em"/>', text)
    return PRIME.sub(r'<mrow>\1<mo lspace="0" rspace="0">&#x02032;</mo></mrow>', text)  # the glyph is raised already


def inline(writer: HTML5Translator, node: Element) -> None:
    """A formula in a line of text."""
    writer.body.append(mathml(node, "inline"))
    raise SkipNode


def block(writer: HTML5Translator, node: Element) -> None:
    """A formula of its own, which scrolls where it is wider than the page."""
    writer.body.append(f'<div class="formula">{mathml(node, "block")}</div>')
    raise SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """The extension, as Sphinx expects it."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
