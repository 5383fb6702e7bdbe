"""README, pages and docstrings: their examples run, their words are the field's, their links lead somewhere."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest
from devices import gpu, open_place
from optional import optional

import mlpcore as mc
from benchmarks import first_screen

ROOT = Path(__file__).parent.parent
MODULES = [
    name for _, name, _ in pkgutil.walk_packages(mc.__path__, "mlpcore.") if "__main__" not in name
]  # the modules of backends import their libraries when they are used, not before
NEED_A_LIBRARY = ("mlpcore.backends.",)


@pytest.mark.parametrize("library", ["numpy", gpu("cupy")])
def test_the_readme_runs(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block for a GPU with NumPy's arrays on a CPU, as the README says, and as it stands on a device."""
    open_place(library)
    for needed in ("pandas", "polars", "sklearn"):
        optional(needed)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    printed = []
    for block in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(compile(block.replace("cupy", library), "README.md", "exec"), {})
        printed.append(output.getvalue())
    table, arrays, ten_lines = printed
    assert table == "['no' 'yes' 'no']\n" and f"{library}.ndarray" in arrays
    accuracy, shape = ten_lines.split(maxsplit=1)
    assert float(accuracy) > 0.96 and shape == "(3, 10)\n"
    assert (tmp_path / "digits.safetensors").exists()


def test_the_figures_of_the_readme_are_those_of_the_results() -> None:
    text = (ROOT / "README.md").read_text()
    assert first_screen.BEGIN in text and first_screen.with_table(text) == text, "python -m benchmarks.first_screen"


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith(NEED_A_LIBRARY)])
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


TERM = re.compile(r"^\| ([a-zA-Z][a-zA-Z ]+) \| ", re.M)
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "cuda_on_cpu" / "README.md"]
OLD_WORDS = (  # replaced by the field's words, on the right
    ("hopeful", "optimistic"),
    ("in hope", "optimistic"),
    ("cellwise", "elementwise"),
    ("unharmed", "rollback"),
    ("shortage", "out of memory"),
    ("way back", "backward pass"),
    ("the way there", "forward pass"),
    ("turned", "transposed"),
    ("stretched", "scaled"),
    ("marked", "masked"),
)


def sources() -> str:
    """The text of all modules."""
    return "\n".join(path.read_text() for path in sorted((ROOT / "mlpcore").rglob("*.py")))


def test_terms_of_the_glossary_are_used() -> None:
    terms = [term for term in TERM.findall((ROOT / "docs" / "glossary.md").read_text()) if term != "term"]
    text = re.sub(r"\s+", " ", sources()).replace("_", " ").lower()
    unused = [term for term in terms if not re.search(rf"\b{re.escape(term.lower())}(s|es|ed|ing)?\b", text)]
    assert len(terms) > 40 and not unused, unused


def test_replaced_words_do_not_come_back() -> None:
    pages = [path.read_text() for path in PAGES]
    text = re.sub(r"\s+", " ", "\n".join([sources(), *pages]))
    found = [old for old, _ in OLD_WORDS if re.search(rf"\b{old}\b", text)]
    assert not found, found


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        prose = re.sub(r"(?s)```.*?```|``.*?``|`.*?`", "", page.read_text())
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
