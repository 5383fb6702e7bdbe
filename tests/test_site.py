"""The site: its lists are complete, its checks see faults, and the programs of its gallery run."""

import re
import runpy
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import mlpcore as mc

DOCS = Path(__file__).parent.parent / "docs"
GALLERY = sorted((DOCS / "gallery").glob("*.py"))


def part(name: str, folder: str = "_ext") -> ModuleType:
    """A module of the site."""
    sys.path.insert(0, str(DOCS / folder))
    try:
        return import_module(name)
    finally:
        sys.path.pop(0)


def test_every_public_name_is_described_by_a_sentence() -> None:
    """The first paragraphs stand in the tables of names, so they must not break off before a formula."""
    pages = part("reference_pages")
    groups = pages.groups()
    names = [name for group in groups.values() for name in group]
    assert {f"mlpcore.{name}" for name in mc.__all__} <= set(names) and len(groups) == 13
    api = (DOCS / "api.md").read_text()
    assert part("site_pages").with_groups(api).count("](reference/") == len(groups)
    cut = {name: text for name in names if not (text := pages.summary(name)).endswith((".", ".``"))}
    assert len(names) > 130 and not cut, cut


@pytest.mark.parametrize("name", [*mc.layers.__all__, *mc.losses.__all__])
def test_every_layer_and_loss_has_its_derivation(name: str) -> None:
    text = (DOCS / "mathematics.md").read_text()
    assert re.search(rf"^### {name}$|^\| {name}\b", text, re.M), f"{name} is missing in docs/mathematics.md"


def test_every_page_is_in_a_list() -> None:
    """What no list names has no place in the site's navigation."""
    pages = part("site_pages")
    listed = set()
    for name in pages.LISTS:
        path = DOCS / f"{name}.md"
        listed |= {(path.parent / entry).resolve() for entry in pages.ENTRY.findall(path.read_text())}
    there = {path.with_suffix("") for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    assert len(there) > 25
    assert there - listed == {DOCS / "index"}


def test_every_block_of_code_runs() -> None:
    """The pages that docs/conftest.py runs are those with blocks; a program that starts others has tests of its own."""
    specification = spec_from_file_location("pages_that_run", DOCS / "conftest.py")
    assert specification and specification.loader
    pages_that_run = module_from_spec(specification)
    specification.loader.exec_module(pages_that_run)
    pages = [path for path in DOCS.rglob("*.md") if "_build" not in path.parts]
    with_code = {path for path in pages if "\n```python\n" in path.read_text()}
    elsewhere = {DOCS / "distributed.md"}  # tests/ranks/test_examples.py
    if not pages_that_run.find_compiler():
        elsewhere.add(DOCS / "compiler.md")
    assert {path for path in with_code if not pages_that_run.PAGES.should_parse(path)} == elsewhere


def test_two_libraries_stand_side_by_side() -> None:
    pages = part("site_pages")
    source = [(DOCS / "coming-from" / "jax.md").read_text()]
    pages.prepare(None, "coming-from/jax", source)
    assert source[0].count('<div class="pair">') == 2 and source[0].count("<div") == source[0].count("</div>")


def test_lists_of_arguments_become_definitions() -> None:
    lines = ["A layer.", "", "rate: The share", "    of entries.", '"none": Nothing.', "", "Shapes: x (n,).", "More."]
    shown = part("docstrings").with_arguments(lines)
    assert shown[2:6] == ["``rate``", "    The share", "    of entries.", '``"none"``']
    assert shown[-2:] == lines[-2:]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('<a href="there.html#here">', None),
        ('<a href="nowhere.html">', "nowhere.html leads nowhere"),
        ('<a href="there.html#gone">', "there.html#gone has no such anchor"),
        ('<img src="no.png" alt="a curve">', "no.png leads nowhere"),
        ('<img src="there.html">', "the image there.html has no text"),
        ('<script src="https://example.org/x.js"></script>', "loads https://example.org/x.js"),
        ('<a href="https://example.org">', None),
    ],
)
def test_the_checks_of_a_built_site_see(text: str, fault: str | None, tmp_path: Path) -> None:
    checks = part("site_checks", ".")
    (tmp_path / "page.html").write_text(text)
    (tmp_path / "there.html").write_text('<p id="here">')
    (tmp_path / "searchindex.js").write_text(" ".join(checks.FOUND_BY_SEARCH))
    found = [line.removeprefix("page.html: ") for line in checks.faults(tmp_path) if line != "only 2 pages"]
    assert found == ([fault] if fault else [])


def test_the_gallery_has_fifteen_small_programs() -> None:
    assert len(GALLERY) == 15
    for path in GALLERY:
        assert 30 <= len(path.read_text().splitlines()) <= 65, path.name


@pytest.mark.long
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_programs_of_the_gallery_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    plt.switch_backend("Agg")
    try:
        runpy.run_path(str(path))
        assert plt.get_fignums()
    finally:
        plt.close("all")
