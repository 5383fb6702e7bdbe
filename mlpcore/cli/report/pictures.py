"""Pictures by matplotlib as SVG within a page, whose colours and letters are those of the page."""

import io
import re
from collections.abc import Callable
from typing import Any

from mlpcore.cli.report.markup import escape
from mlpcore.plotting import COLORS, GRID, METRIC_COLORS, load_matplotlib

SIZE = (4.6, 3.2)  # inches
INK, MUTED, FIRST, SECOND = "#010203", "#040506", COLORS["loss"], COLORS["val_loss"]
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    METRIC_COLORS[0]: "var(--third)",
    METRIC_COLORS[1]: "var(--fourth)",
}
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
SETTINGS: dict[str, Any] = dict.fromkeys(INKED, INK) | {
    "svg.fonttype": "none",
    "axes.facecolor": "none",
    "axes.formatter.limits": (-4, 5),  # other tick labels are in units of a power of ten
    "axes.formatter.useoffset": False,
    "font.size": 9.5,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def picture(name: str, label: str, draw: Callable[[Any], Any], size: tuple[float, float] = SIZE) -> str:
    """What ``draw`` draws on a figure of matplotlib, as an SVG element.

    ``name`` makes its ids unique in the page, ``label`` says in words what it shows. MissingDependency without
    matplotlib (extra ``plot``).
    """
    matplotlib, figure_class = load_matplotlib(), load_matplotlib("figure").Figure
    with matplotlib.rc_context():  # the defaults, whatever the user's configuration of matplotlib is
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS | {"svg.hashsalt": name})
        figure = figure_class(figsize=size, layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    return _for_page(file.getvalue(), name, label)


def axes_of(figure: Any, x: str, y: str) -> Any:
    """Axes with labels and a grid."""
    axes = figure.subplots()
    dress(axes, x, y)
    return axes


def dress(axes: Any, x: str, y: str) -> None:
    """Give axes labels and a grid, and no frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=6)  # labels that do not touch
    axes.spines[["top", "right"]].set_visible(False)


def _for_page(svg: str, name: str, label: str) -> str:
    """The text of an SVG file as an element of a page: without head, styles, fonts and unused ids."""
    box = re.findall(r'viewBox="([^"]*)"', svg)[0]
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r'font: [^;"]*?([\d.]+px)[^;"]*', r"font-size: \1", body)  # as matplotlib before 3.10 writes it
    body = re.sub(r'font-family: [^;"]*;? ?', "", body).replace("xlink:href", "href")
    used = {*re.findall(r'(?:url\(|href=")#([^)"]+)', body)}
    body = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", body)
    body = re.sub(r'(url\(|href=")#', rf"\1#{name}-", body)
    for color, variable in VARIABLES.items():
        body = body.replace(color, variable)
    body = re.sub(r"\s+", " ", body).replace("> <", ">\n<").strip()
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), body)  # coordinates, no tick labels
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="{box}">\n{body}\n</svg>'
