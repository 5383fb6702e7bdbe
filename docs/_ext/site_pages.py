"""Makes pages of the site from the Markdown of the repository, in which there are no directives.

The first page is the README, followed by docs/index.md. Pages that list others (``LISTS``) get a table of contents of
the pages to which their lists and tables link, in this order. Two blocks of code under the names of two libraries stand
side by side. Links that leave docs/ become plain text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from reference_pages import file_name, groups

if TYPE_CHECKING:
    from sphinx.application import Sphinx


DOCS = Path(__file__).parent.parent
LISTS = ("index", "tutorials/index", "guides", "coming-from/index", "background", "api")
ENTRY = re.compile(r"^(?:- |\| ?(?:\d\. )?)\[[^\]]*\]\(([^):#]+)\.(?:md|rst)\)", re.M)
PAIR = re.compile(r"^(\*\*\S+\*\*\n\n```py.*?^```\n)\n(\*\*mlpcore\*\*\n\n```python\n.*?^```\n)", re.M | re.S)
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:]+)[^):]*\)")


def first_page(index: str) -> str:
    """The README up to its list of pages, with links as seen from docs/, and the list of docs/index.md."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8").partition("## Further reading")[0]
    readme = re.sub(r"\]\((?!https?:|docs/|#)", "](../", readme).replace("](docs/", "](")
    return readme + "## Documentation\n\n" + index.partition("\n\n")[2]


def on_site(page: str) -> str:
    """The text with the gallery's own page, which the site makes, in the place of its source."""
    return page.replace("](gallery/README.rst)", "](programs/index.rst)")


def with_groups(page: str) -> str:
    """The page docs/api.md, whose rows begin with the title of a group, with links to the groups' pages."""
    for title in groups():
        page = re.sub(rf"^\| {title}\b", f"| [{title}](reference/{file_name(title)})", page, count=1, flags=re.M)
    return page


def contents(page: str) -> str:
    """A hidden table of contents with the pages of a list."""
    return "\n".join(["", "```{toctree}", ":hidden:", "", *dict.fromkeys(ENTRY.findall(page)), "```", ""])


def prepare(app: Sphinx, name: str, source: list[str]) -> None:
    """Called with every page before it is parsed."""
    if name == "index":
        source[0] = first_page(source[0])
    if name == "api":
        source[0] = with_groups(source[0])
    source[0] = on_site(source[0])
    if name.startswith("coming-from/"):
        source[0] = PAIR.sub(r'<div class="pair"><div>\n\n\1\n</div><div>\n\n\2\n</div></div>\n', source[0])
    if name in LISTS:
        source[0] += contents(source[0])
    if not name.startswith(("reference/", "programs/")):
        source[0] = LINK.sub(lambda link: link[1] if leaves(name, link[2]) else link[0], source[0])


def leaves(name: str, target: str) -> bool:
    """Whether a link of a page leads out of docs/."""
    return not (DOCS / name).parent.joinpath(target).resolve().is_relative_to(DOCS)


def setup(app: Sphinx) -> dict[str, bool]:
    """The extension, as Sphinx expects it."""
    app.connect("source-read", prepare)
    return {"parallel_read_safe": True}
