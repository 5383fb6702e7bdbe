"""Writes the page: its text, the panels, and one script, whose digest the page names, so that nothing else can run."""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

import mlpcore
from mlpcore.cli.lesson.network import Lesson
from mlpcore.cli.lesson.payload import payload
from mlpcore.cli.lesson.stages import panels, steps
from mlpcore.cli.lesson.words import HELP, INTRODUCTION, WORDS
from mlpcore.cli.report.markup import document, escape, name_of, section

SCRIPTS = ("numbers", "network", "plane", "curve", "panels", "controls")


def page(lesson: Lesson, seed: int = 0) -> str:
    """The text of the page. ``seed`` draws the rows that can be chosen."""
    resources = files(__package__)
    script = "\n".join(["'use strict';", *((resources / f"{name}.js").read_text("utf-8") for name in SCRIPTS)])
    style = (resources / "page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    data = payload(lesson, seed) | {"steps": [step._asdict() for step in steps(lesson)]}
    name = name_of(lesson.rows.name)
    return document(
        f"{name}: how a network learns",
        policy,
        style,
        f"""<header>
<h1>How a network learns: {name}</h1>
{_introduction(lesson)}
<noscript><p><strong>Without JavaScript this page shows no numbers, but all its text and formulas.</strong></p>
</noscript>
</header>
<main>
{_controls(lesson, len(data["steps"]))}
<div class="views">
{_figure("network", "The network", _NETWORK)}
<section id="panels" aria-label="The chosen step">
{chr(10).join(panels(lesson))}
</section>
{_chooser(lesson, data)}
{_figure("curve", "The loss over the epochs", _CURVE)}
</div>
{section("Words", WORDS)}
{section("Keyboard", HELP)}
</main>
<footer>
<p>mlpcore {escape(mlpcore.__version__)}. One file, which loads nothing. All numbers were computed by the library in
float64 and are stored in float32, to seven digits.</p>
</footer>
<script type="application/json" id="data">{embedded(data)}</script>
<script>{script}</script>
""",
    )


def embedded(data: Any) -> str:
    """JSON for a script element, which no text in it can end."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


_NETWORK = """Each circle is a neuron, with its number; each line is a weight. <span class="key more">Blue, solid
lines and <b>+</b></span> are positive, <span class="key less">orange, dashed lines and <b>−</b></span> negative; the
thicker a line, the larger the weight. In the backward pass circles and lines show gradients.
<span data-dots hidden>⋯ stands for neurons that are not drawn; they are computed like the others.</span>"""
_CURVE = """The mean loss of all rows after each epoch, and the right answers among them. Training should lower both
losses. Where the loss of the validation rows, from which nothing is learnt, rises while the other falls, the network
learns the training rows by heart."""
_PLANE = """The background is what the network says at each point, in the chosen epoch; the stronger a colour, the surer
it is. {line}Each sign is a row, those with an outline can be chosen."""
_TABLE = "Some of the training rows, with the prediction in the chosen epoch. Choose one to follow it."


def _introduction(lesson: Lesson) -> str:
    """What was trained, on what, and how well."""
    rows, widths = lesson.rows, lesson.widths
    validation = f" {len(rows.validation[0])} rows were held out to validate with." if rows.validation else ""
    inner = [type(layer).__name__ for layer in lesson.layers[1:2]]
    sizes = " → ".join(map(str, widths))
    activations = f", and {inner[0]} after each but the last" if inner else ""
    facts = (
        f"A network with {sizes} neurons (inputs first{activations}) was trained on {len(rows.train[0])} rows for "
        f"{lesson.epochs[-1]} epochs to predict “{name_of(rows.target)}”.{validation} {escape(rows.note)}"
    )
    return f"<p>{facts}</p>\n{INTRODUCTION}"


def _controls(lesson: Lesson, count: int) -> str:
    """The three sliders and the buttons."""
    sliders = (
        ("epoch", "Epoch", len(lesson.epochs) - 1),
        ("row", "Row", 0),  # the script knows how many there are
        ("step", "Step", count - 1),
    )
    parts = [
        f'<div class="control"><label for="{name}">{label}</label><input type="range" id="{name}" min="0" '
        f'max="{most}" value="0" step="1"><output id="{name}-text" for="{name}"></output></div>'
        for name, label, most in sliders
    ]
    buttons = (
        '<div class="buttons"><button type="button" id="back">◀ Back</button>'
        '<button type="button" id="next">Next step ▶</button>'
        '<button type="button" id="play" aria-pressed="false">Play epochs</button></div>'
    )
    status = '<p id="status" aria-live="polite"></p>'
    return "\n".join(['<section class="controls" aria-label="Controls">', *parts, buttons, status, "</section>"])


def _figure(name: str, title: str, caption: str, content: str = "") -> str:
    """A picture that the script draws."""
    inner = content or f'<div class="scroll"><svg id="{name}-picture" role="img" aria-label="{title}"></svg></div>'
    text = f"<figcaption>{caption}</figcaption>"
    return f'<section class="view" id="{name}-view">\n<h2>{title}</h2>\n<figure>{inner}\n{text}</figure>\n</section>'


def _chooser(lesson: Lesson, data: dict[str, Any]) -> str:
    """The plane of two columns with the rows, or a table of the rows."""
    if "plane" in data:
        line = "The line is where both classes are equally probable. " if data["plane"]["kind"] == "two" else ""
        columns = [name_of(column) for column in lesson.rows.columns]
        label = f"The rows over {columns[0]} and {columns[1]}; an arrow key chooses the next row in its direction"
        content = (
            '<div class="plane"><canvas id="map" aria-hidden="true"></canvas>'
            f'<svg id="plane-picture" viewBox="0 0 400 400" tabindex="0" role="application" aria-label="{label}"></svg>'
            f'</div><p class="axes"><span>→ {columns[0]}</span> <span>↑ {columns[1]}</span></p><p class="legend" '
            'id="legend"></p>'
        )
        return _figure("plane", "The rows and the predictions", _PLANE.format(line=line), content)
    image = (
        '<canvas id="image" role="img" aria-label="The chosen row as a picture"></canvas>' if "images" in data else ""
    )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Row", "Target", "Prediction", "Loss"))
    content = (
        f'{image}<div class="scroll long" role="group" aria-label="Rows"><table class="numbers" id="rows"><thead><tr>'
        f"{heads}</tr></thead><tbody></tbody></table></div>"
    )
    return _figure("plane", "The rows", _TABLE, content)
