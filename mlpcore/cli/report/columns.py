"""What the columns of the table were understood as, and how much each is used."""

from collections.abc import Sequence

from mlpcore.cli.report.markup import escape, figure, name_of, row, section, table
from mlpcore.cli.report.results import Importance, Results
from mlpcore.tabular.categories import CategoryEncoder
from mlpcore.tabular.columns import LEFT_OUT, Column
from mlpcore.tabular.encoder import TableEncoder

MOST_COLUMNS = 500  # that the table lists of each sort: the file stays small
MOST_BARS = 30


def columns(results: Results) -> str:
    """The section with the table of all columns; those that are left out come last."""
    encoder = results.description.encoder
    kept = [column for column in encoder.columns if column.kind != LEFT_OUT]
    rest = [column for column in encoder.columns if column.kind == LEFT_OUT]
    lines = [_line(column, _encoded(encoder, column.name)) for column in kept[:MOST_COLUMNS]] + _more(kept)
    if rest:
        lines.append(f'<tr class="rest"><th scope="rowgroup" colspan="4">Left out: {len(rest):,}</th></tr>')
        lines += [_line(column, "–", "rest") for column in rest[:MOST_COLUMNS]] + _more(rest)
    caption = f"The network's input has {len(encoder.names):,} columns, from {len(kept):,} of the table. "
    caption += "<code>--types</code> and <code>--ignore</code> decide otherwise."
    content = table("Columns", ["column", "kind", "why", "encoded as"], lines, "columns")
    return section("The columns, as they were understood", figure(content, caption, "wide"))


def _line(column: Column, encoded: str, kind: str = "") -> str:
    return row(name_of(column.name), escape(column.kind), name_of(column.reason), encoded, kind=kind)


def _encoded(encoder: TableEncoder, name: str) -> str:
    one = encoder.encoders[name]
    if isinstance(one, CategoryEncoder):
        return f"1 column, {len(one.levels):,} level{'s' * (len(one.levels) != 1)}"
    count = len(one.names(name))
    return f"{count} column{'s' * (count > 1)}"


def _more(columns: Sequence[Column]) -> list[str]:
    count = len(columns) - MOST_COLUMNS
    return [f'<tr class="rest"><td colspan="4">and {count:,} more</td></tr>'] if count > 0 else []


def importance(results: Results) -> str:
    """The section with a bar for each of the columns that matter most."""
    if not results.importance:
        return ""
    ordered = sorted(results.importance, key=lambda one: -one.fall)[:MOST_BARS]
    low = min(0.0, *(one.fall - one.deviation for one in ordered))
    high = max(0.0, *(one.fall + one.deviation for one in ordered))
    width = high - low or 1.0
    lines = [row(name_of(one.name), _bar(one, low, width), _text(one)) for one in ordered]
    main = "accuracy" if results.labels else "R2"
    caption = f"How much {main} falls when the values of a column change places between the rows: the mean of several "
    caption += "permutations, and as a line, and after ±, one standard deviation to each side. Of columns that say the "
    caption += "same, each may look useless, as the others replace it."
    if len(results.importance) > MOST_BARS:
        caption += f" The {MOST_BARS} largest of {len(results.importance):,} are shown."
    content = table("Importance", ["column", "", f"fall of {main}"], lines, "bars")
    return section("Which columns matter", figure(content, caption, "wide"))


def _bar(one: Importance, low: float, width: float) -> str:
    """A bar from 0, and a line for the spread, in a drawing 100 wide that fills its cell."""

    def place(value: float) -> str:
        return f"{100 * (value - low) / width:.1f}"

    start, size = min(0.0, one.fall), abs(one.fall)
    first, last = place(one.fall - one.deviation), place(one.fall + one.deviation)
    return (
        '<svg aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none">'
        f'<rect x="{place(start)}" y="1" width="{100 * size / width:.1f}" height="8"/>'
        f'<path d="M{place(0.0)} 0V10M{first} 5H{last}"/></svg>'
    )


def _text(one: Importance) -> str:
    return f"{one.fall:.4f} ± {one.deviation:.4f}".replace("-", "−")
