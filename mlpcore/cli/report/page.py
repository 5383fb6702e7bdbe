"""Writes the page."""

from collections.abc import Mapping

import mlpcore
from mlpcore.cli.report.amounts import amounts
from mlpcore.cli.report.classes import classes
from mlpcore.cli.report.columns import columns, importance
from mlpcore.cli.report.curves import curves
from mlpcore.cli.report.markup import SHORT, document, escape, name_of, section
from mlpcore.cli.report.quality import quality
from mlpcore.cli.report.results import Results
from mlpcore.cli.report.style import STYLE
from mlpcore.files.writing import Path, check_target, replace_file

# Nothing may be loaded or run, whatever the names in the data are.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LABELS = 12  # that the first paragraph names


def write_report(path: Path, results: Results, reads: Mapping[str, Path] | None = None) -> int:
    """Write the page, completely or not at all; returns the number of its bytes.

    ``reads`` maps the names of input files in messages to their paths, which are not overwritten: ConfigurationError.
    MissingDependency without matplotlib (extra ``plot``).
    """
    check_target(path, reads)
    data = page(results).encode()
    replace_file(path, [data])
    return len(data)


def page(results: Results) -> str:
    """The text of the page."""
    name, target = name_of(results.name), name_of(results.description.target.name)
    sections = [
        _facts(results),
        columns(results),
        quality(results),
        curves(results),
        classes(results) if results.labels else amounts(results),
        importance(results),
        _commands(results),
    ]
    body = "\n".join(part for part in sections if part)
    size = (len(body.encode()) + len(STYLE)) / 1000
    return document(
        f"{name}: {target}",
        POLICY,
        STYLE,
        f"""<header>
<h1>{name}: predicting {target}</h1>
<p>{_introduction(results)}</p>
</header>
<main>
{body}
</main>
<footer>
<p>mlpcore {escape(mlpcore.__version__)}. One file of about {size:,.0f} kB, which loads nothing.</p>
</footer>
""",
    )


def _introduction(results: Results) -> str:
    """What is predicted, and from how many columns."""
    labels, count = results.labels, len(results.description.encoder.kept)
    source = f"from {count:,} column{'s' * (count != 1)} of the table"
    if not labels:
        return f"The network predicts an amount {source}."
    listed = ", ".join(f"“{name_of(label, SHORT)}”" for label in labels[:LABELS])
    more = f" and {len(labels) - LABELS:,} more" if len(labels) > LABELS else ""
    return f"The network predicts one of {len(labels):,} classes {source}: {listed}{more}."


def _facts(results: Results) -> str:
    """The section with the facts of the run."""
    pairs = [f"<div><dt>{escape(label)}</dt><dd>{escape(text)}</dd></div>" for label, text in results.facts]
    return section("The training", "<dl>", *pairs, "</dl>") if pairs else ""


def _commands(results: Results) -> str:
    """The section that says how to go on."""
    lines = "\n".join(escape(line) for line in results.commands)
    return section("How to go on", f"<pre><code>{lines}</code></pre>") if lines else ""
