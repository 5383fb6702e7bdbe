"""Checks a built site without a network: ``python site_checks.py _build/html`` prints what is wrong and exits with 1.

Every link to a page of the site leads to one, and to an anchor on it; every image exists and has a text in its place;
no page loads anything from elsewhere; the search index knows what the site is about.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "src"), ("iframe", "src")}
FOUND_BY_SEARCH = ("backpropag", "softmaxcrossentropi", "quantil", "earlystop")  # stems, as the index has them


class Page(HTMLParser):
    """The anchors of a page, its links, what it loads, and images without a text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.silent: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        self.loaded += [value for name, value in values.items() if (tag, name) in LOADED]
        # Sphinx writes the path where a page says nothing; an empty text is that of a picture beside its own title.
        if tag == "img" and values.get("alt", ".png").endswith(".png"):
            self.silent.append(values.get("src", ""))


def faults(folder: Path) -> list[str]:
    """What is wrong, a line each."""
    files = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    pages = {path.resolve(): Page(path) for path in files}
    found = []
    for path, page in pages.items():
        here = path.relative_to(folder.resolve())
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    found.append(f"{here}: loads {link}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{here}: {link} leads nowhere")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{here}: {link} has no such anchor")
        found += [f"{here}: the image {source} has no text" for source in page.silent]
    index = (folder / "searchindex.js").read_text(encoding="utf-8")
    found += [f"the search finds nothing for {word}" for word in FOUND_BY_SEARCH if word not in index]
    return found if len(pages) > 150 else [*found, f"only {len(pages)} pages"]


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]))
    print("\n".join(wrong) or "links, anchors, images: all there")
    sys.exit(bool(wrong))
