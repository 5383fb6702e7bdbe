"""The recipes of CONTRIBUTING.md, followed step by step on a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
STEP = re.compile(
    r"New file `(?P<new>\S+)`:\n\n```python\n(?P<text>.*?)```"
    r"|[Ii]n `(?P<file>\S+)`, (?P<how>after|replace) `(?P<anchor>[^\n]+)`:\n\n```(?:python|text)\n(?P<lines>.*?)```"
    r"|Then:\n\n```bash\n(?P<commands>.*?)```",
    re.DOTALL,
)
RECIPES = {
    title.partition("\n")[0]: [match.groupdict() for match in STEP.finditer(title)]
    for title in PAGE.split("## Recipe: ")[1:]
}
# One fault for each: the laws that the recipe runs must see it.
FAULTS = {
    "a layer": ("mlpcore/layers/softsign.py", "dy / (cache * cache)", "dy / cache"),
    "a loss": ("mlpcore/losses/logcosh.py", "xp.tanh(error)", "0.5 * xp.tanh(error)"),
    "an optimizer": ("mlpcore/optimizers/adadelta.py", "rate[..., None]", "rate"),
    "a backend": ("mlpcore/backends/reference.py", "to_numpy=to_numpy", "to_numpy=lambda x: to_numpy(x) + 1"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "*.so*", "cache", "_build")
    for name in ("mlpcore", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edit(project: Path, step: dict[str, str]) -> None:
    """A step that makes a new file or changes one."""
    if step["new"]:
        (project / step["new"]).write_text(step["text"])
    elif step["file"]:
        path, lines = project / step["file"], []
        text = path.read_text().split("\n")
        assert [line.strip() for line in text].count(step["anchor"]) == 1, step["anchor"]
        for line in text:
            found = line.strip() == step["anchor"]
            lines += [] if found and step["how"] == "replace" else [line]
            lines += [step["lines"].rstrip("\n")] if found else []
        path.write_text("\n".join(lines))


def failed_commands(project: Path, steps: list[dict[str, str]]) -> dict[str, str]:
    """What the commands of a recipe wrote, of those that failed."""
    failed = {}
    environment = os.environ | {"PYTHONPATH": str(project), "PYTEST_ADDOPTS": ""}
    for command in "".join(step["commands"] or "" for step in steps).splitlines():
        words = command.replace("PYTHONPATH=tests/helpers", f"PYTHONPATH={project}:tests/helpers")
        words = re.sub(r"\b(python|pytest|mlpcore)\b(?= )", lambda m: RUN[m[1]], words, count=1)
        ended = subprocess.run(words, shell=True, cwd=project, env=environment, capture_output=True, text=True)
        if ended.returncode:
            failed[command] = ended.stdout[-3000:] + ended.stderr[-3000:]
    return failed


RUN = {name: f"{sys.executable} {words}".strip() for name, words in
       {"python": "", "pytest": "-m pytest", "mlpcore": "-m mlpcore"}.items()}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_works_as_it_stands_and_its_tests_see_a_fault(recipe: str, project: Path) -> None:
    steps = RECIPES[recipe]
    for step in steps:
        edit(project, step)
    assert not failed_commands(project, steps)
    file, right, wrong = FAULTS[recipe]
    text = (project / file).read_text()
    assert text.count(right) == 1
    (project / file).write_text(text.replace(right, wrong))
    assert any("pytest" in command for command in failed_commands(project, steps))


def test_there_are_four_recipes_with_files_edits_and_commands() -> None:
    assert list(RECIPES) == list(FAULTS)
    for steps in RECIPES.values():
        assert steps[0]["new"] and steps[-1]["commands"] and len(steps) >= 4
    blocks = PAGE.count("```python") + PAGE.count("```text")
    assert blocks == sum(1 for steps in RECIPES.values() for step in steps if not step["commands"])


def test_the_set_up_is_two_commands() -> None:
    first = re.search(r"## Set up\n\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert first is not None and first[1].splitlines() == ["pip install -e '.[test,lint]'", "pytest"]
