"""README, docstrings and the API page say what is true: their examples run, and every public name is described."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import mlpcore as mc

ROOT = Path(__file__).parent.parent
MODULES = [
    name for _, name, _ in pkgutil.walk_packages(mc.__path__, "mlpcore.") if "__main__" not in name
]  # the modules of backends import their libraries when they are used, not before
NEED_A_LIBRARY = ("mlpcore.backends.",)


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for block in blocks:
            exec(compile(block, "README.md", "exec"), {})
    accuracy, shape = printed.getvalue().split(maxsplit=1)
    assert float(accuracy) > 0.96 and shape == "(3, 10)\n"
    assert (tmp_path / "digits.safetensors").exists()


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith(NEED_A_LIBRARY)])
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_public_name_has_a_docstring_and_a_place_in_the_api_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for name in mc.__all__:
        assert getattr(mc, name).__doc__, name
        assert f"`{name}" in page, f"{name} is missing in docs/api.md"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        prose = re.sub(r"(?s)```.*?```|``.*?``|`.*?`", "", page.read_text())
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
