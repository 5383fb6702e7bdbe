"""Pieces of HTML. What comes from a file passes through `escape`."""

import html
import math
from collections.abc import Iterable, Sequence

LONG, SHORT = 120, 40  # characters that are shown of a name
LONG_TABLE = 30  # rows; longer tables scroll on screens


def escape(text: str) -> str:
    """The text for HTML, also within quotes: no markup, unprintable characters as escapes such as ``\\n``."""
    return html.escape("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def name_of(text: str, longest: int = LONG) -> str:
    """A name for HTML, cut if it is very long."""
    return escape(text if len(text) <= longest else text[: longest - 1] + "…")


def number(value: float) -> str:
    """A number as the command line prints it: four decimals, or six digits from 1,000 on."""
    if not math.isfinite(value):
        return "not defined"
    return (f"{value:.4f}" if abs(value) < 1000 else f"{value:,.6g}").replace("-", "−")


def section(title: str, *parts: str) -> str:
    """A section with a heading."""
    return "\n".join([f"<section>\n<h2>{title}</h2>", *(part for part in parts if part), "</section>"])


def paragraph(text: str) -> str:
    """A paragraph of HTML."""
    return f"<p>{text}</p>"


def figure(content: str, caption: str, kind: str = "picture") -> str:
    """A picture or table, with the sentence on how to read it."""
    return f'<figure class="{kind}">\n{content}\n<figcaption>{caption}</figcaption>\n</figure>'


def pictures(*figures: str) -> str:
    """Pictures side by side where there is room."""
    return "\n".join(['<div class="pictures">', *figures, "</div>"])


def table(label: str, head: Iterable[str], rows: Sequence[str], kind: str) -> str:
    """A table with a row of column heads, in a box of its own that scrolls; rows are HTML, from ``<tr>`` on."""
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    scroll = "scroll long" if len(rows) > LONG_TABLE else "scroll"
    begin = f'<div class="{scroll}" role="region" aria-label="{label}" tabindex="0">\n<table class="{kind}">'
    return "\n".join([begin, f"<thead><tr>{heads}</tr></thead>\n<tbody>", *rows, "</tbody>\n</table>\n</div>"])


def row(name: str, *cells: str, kind: str = "") -> str:
    """A row of a table; the name is its head."""
    texts = "".join(f"<td>{cell}</td>" for cell in cells)
    begin = f'<tr class="{kind}">' if kind else "<tr>"
    return f'{begin}<th scope="row">{name}</th>{texts}</tr>'


def document(title: str, policy: str, style: str, body: str) -> str:
    """A page of this title, in one file; ``policy`` says what its elements may load and run."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}</body>
</html>
"""
