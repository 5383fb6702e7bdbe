"""The page of `mlpcore explain` in Chromium: its numbers are the library's, and keys reach all of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Page, chromium

from mlpcore.cli.lesson import Lesson, Rows, page, train
from mlpcore.cli.lesson.passes import array_names, prepared, row_numbers
from mlpcore.cli.lesson.rows import EXAMPLES
from mlpcore.cli.lesson.stages import steps

EVIL = "</script><script>document.title='evil'</script><img src=x onerror=\"document.title='evil'\">"


def of_a_table() -> Lesson:
    """Thirteen columns and three classes with hostile names."""
    x = np.random.default_rng(0).normal(size=(30, 13))
    names = tuple(f"{EVIL}{i}" for i in range(13))
    rows = Rows(EVIL, EVIL, names, EVIL, (f"{EVIL}a", "b", "c"), (x, np.arange(30) % 3), None)
    return train(rows, (12, 4), "relu", epochs=3, learning_rate=0.1, batch_size=5)


@pytest.fixture(scope="module")
def lessons() -> dict[str, Lesson]:
    """A plane of two columns, and a table."""
    moons = train(EXAMPLES["moons"].rows(0), (5, 3), "tanh", epochs=12, learning_rate=0.3, batch_size=8)
    return {"plane": moons, "table": of_a_table()}


@pytest.fixture(scope="module")
def files(lessons: dict[str, Lesson], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages."""
    folder = tmp_path_factory.mktemp("pages")
    for name, lesson in lessons.items():
        (folder / f"{name}.html").write_text(page(lesson), "utf-8")
    return {name: folder / f"{name}.html" for name in lessons}


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """One browser for all tests."""
    with chromium() as opened:
        yield opened


def focused(browser: Page) -> str:
    """The id of the element that has the focus, or its class."""
    found: str = browser.run("document.activeElement.id || document.activeElement.className || ''")
    return found


def state(browser: Page) -> list[int]:
    """The epoch, row and step that are shown, as the sliders say."""
    found: list[int] = browser.run("['epoch', 'row', 'step'].map((id) => Number(document.getElementById(id).value))")
    return found


def tab_to(browser: Page, name: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(40):
        browser.press("Tab")
        if focused(browser) == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


@pytest.mark.parametrize("name", ["plane", "table"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_every_step_fits_and_nothing_is_logged(
    name: str, width: int, dark: bool, browser: Page, files: dict[str, Path], lessons: dict[str, Lesson]
) -> None:
    browser.open(files[name], width, dark=dark)
    for i, step in enumerate(steps(lessons[name])):
        if i:
            browser.run("document.getElementById('next').click()")
        assert state(browser)[2] == i
        assert browser.run("document.documentElement.scrollWidth") <= width
        visible = browser.run("[...document.querySelectorAll('.panel')].map((panel) => panel.offsetParent !== null)")
        assert [place for place, seen in enumerate(visible) if seen] == [step.panel]
        now = browser.run("[...document.querySelectorAll('.pair:not([hidden]) .now h4')].map((one) => one.textContent)")
        of_layer = 0 < step.panel < len(visible) - 1
        assert now == [step.direction.capitalize()] * of_layer
    assert (
        browser.run("getComputedStyle(document.body).backgroundColor")
        == f"rgb({'22, 24, 28' if dark else '253, 253, 252'})"
    )
    assert browser.run("document.getElementById('next').disabled") is True
    assert browser.problems == []


@pytest.mark.parametrize("name", ["plane", "table"])
def test_the_numbers_are_the_librarys(
    name: str, browser: Page, files: dict[str, Path], lessons: dict[str, Lesson]
) -> None:
    """Every array and number of every panel, in three epochs and rows, as a reader of float32 sees it."""
    lesson = lessons[name]
    model, (x, y) = lesson.model, lesson.rows.train
    target = prepared(model, y, lesson.widths[-1])
    browser.open(files[name])
    shown = browser.run("data.shown")
    script = """(() => { show(STATE); const found = [];
        for (const figure of document.querySelectorAll('.panel:not([hidden]) [data-array]')) found.push([
            figure.dataset.array, figure.querySelector('span').textContent,
            [...figure.querySelectorAll('td[data-value]')].map((cell) => Number(cell.dataset.value))]);
        for (const one of document.querySelectorAll('.panel:not([hidden]) [data-number]'))
            found.push([one.dataset.number, one.dataset.entry || '0', [Number(one.dataset.value)]]);
        return found; })()"""
    seen = set[str]()
    for epoch, place in ((0, 0), (2, 5), (3, 7)):
        i = browser.run(f"data.rows[{place}].number")
        params = lesson.params[epoch]
        numbers = row_numbers(model, params, x[i : i + 1], target[i : i + 1], shown)
        for k, layer in enumerate((0, 2, 4), start=1):
            numbers |= {f"W{k}": params[layer]["weight"], f"b{k}": params[layer]["bias"][None, :]}
        for step in range(len(steps(lesson))):
            for array, shape, values in browser.run(
                script.replace("STATE", f"{{epoch: {epoch}, row: {place}, step: {step}}}")
            ):
                whole = numbers[array]
                if shape.isdigit():  # a single number, this entry of its array
                    expected = whole.ravel()[int(shape)]
                else:
                    assert shape == f"{whole.shape[0]} × {whole.shape[1]}"
                    expected = whole[np.ix_(*units_of(array, whole, shown))].ravel()
                np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-9, err_msg=array)
                seen.add(array)
    assert {after for _, after in array_names(lesson.layers)} | {"x", "dW1", "new_b3", "measured2", "new_L"} <= seen


def units_of(array: str, whole: np.ndarray, shown: list[list[int]]) -> list[list[int]]:
    """The rows and columns of the array that are shown."""
    layer = int(array[-1]) if array[-1].isdigit() else None
    matrix = array.rstrip("0123456789") in ("W", "dW", "new_W")
    if matrix and layer is not None:
        return [shown[layer - 1], shown[layer]]
    if whole.shape == (1, 1):
        return [[0], [0]]
    return [[0], shown[0] if array == "x" else shown[layer] if layer is not None else shown[-1]]


def test_keys_reach_everything(browser: Page, files: dict[str, Path]) -> None:
    browser.open(files["plane"])
    order = []
    for _ in range(6):
        browser.press("Tab")
        order.append(focused(browser))
        outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", order
    assert order == ["epoch", "row", "step", "next", "play", "plane-picture"]  # back is disabled
    browser.press("Tab", shift=True)
    assert focused(browser) == order[-2]


def test_sliders_and_buttons_by_keys(browser: Page, files: dict[str, Path], lessons: dict[str, Lesson]) -> None:
    browser.open(files["plane"])
    losses = [f"{one['loss']:.4f}" for one in lessons["plane"].measures]
    tab_to(browser, "epoch")
    assert f"training loss {losses[0]}" in browser.run("document.getElementById('status').textContent")
    before = browser.run(
        "document.getElementById('network-picture').innerHTML + document.getElementById('map').toDataURL()"
    )
    browser.press("ArrowRight", 2)
    assert state(browser) == [2, 0, 0]
    assert f"training loss {losses[2]}" in browser.run("document.getElementById('status').textContent")
    assert browser.run("document.getElementById('epoch-text').textContent") == "2 of 12"
    after = browser.run(
        "document.getElementById('network-picture').innerHTML + document.getElementById('map').toDataURL()"
    )
    assert before != after
    browser.press("End")
    assert state(browser)[0] == 12
    tab_to(browser, "row")
    browser.press("ArrowRight", 3)
    assert state(browser) == [12, 3, 0]
    tab_to(browser, "next")
    browser.press("Enter", 2)
    assert state(browser) == [12, 3, 2]
    browser.press("Tab", shift=True)
    assert focused(browser) == "back"
    browser.press("Enter", 2)
    assert state(browser) == [12, 3, 0] and focused(browser) == "next"  # back is disabled now
    assert browser.problems == []


def test_playing_stops_at_the_last_epoch(browser: Page, files: dict[str, Path]) -> None:
    browser.open(files["table"], still=False)
    tab_to(browser, "play")
    browser.press("Enter")
    assert browser.run("document.getElementById('play').getAttribute('aria-pressed')") == "true"
    ended = "new Promise((done) => { const look = () => playing === null ? done(1) : setTimeout(look, 20); look(); })"
    assert browser.run(ended) == 1
    assert state(browser)[0] == 3
    assert browser.run("document.getElementById('play').getAttribute('aria-pressed')") == "false"


def test_rows_are_chosen_in_the_plane(browser: Page, files: dict[str, Path], lessons: dict[str, Lesson]) -> None:
    browser.open(files["plane"])
    tab_to(browser, "plane-picture")
    points = np.array(browser.run("data.rows.map((_, i) => pointOf(i))"))
    for key, direction in (("ArrowRight", (1, 0)), ("ArrowUp", (0, -1)), ("ArrowLeft", (-1, 0)), ("ArrowDown", (0, 1))):
        before = state(browser)[1]
        browser.press(key)
        moved = points[state(browser)[1]] - points[before]
        assert moved @ direction > 0 or np.all((points - points[before]) @ direction <= 0)
    browser.run("find('plane-picture').scrollIntoView({block: 'end'})")
    left, top, width = browser.run(
        "(({left, top, width}) => [left, top, width])(find('plane-picture').getBoundingClientRect())"
    )
    for row in (0, 11):
        browser.click(left + points[row, 0] * width / 400, top + points[row, 1] * width / 400)
        assert np.allclose(points[state(browser)[1]], points[row])
    row = lessons["plane"].rows
    number = browser.run("data.rows[state.row].number")
    assert (
        browser.run("document.getElementById('row-text').textContent")
        == f"{number + 1}: {row.labels[row.train[1][number]]}"
    )
    assert browser.run("getComputedStyle(document.querySelector('.chosen')).strokeWidth") == "3px"


def test_rows_are_chosen_in_the_table(browser: Page, files: dict[str, Path], lessons: dict[str, Lesson]) -> None:
    browser.open(files["table"])
    tab_to(browser, "row-0")
    browser.press("ArrowDown", 4)
    assert state(browser)[1] == 4 and focused(browser) == "row-4"
    cells = browser.run("[...document.querySelector('#rows .current').cells].map((cell) => cell.textContent)")
    number = browser.run("data.rows[4].number")
    lesson = lessons["table"]
    initial = lesson.params[0]
    scores, _ = lesson.model.net.forward(initial, lesson.rows.train[0][number : number + 1])
    probabilities = np.asarray(lesson.model.loss.predict(scores))[0]
    best = int(probabilities.argmax())
    assert cells[0].strip() == str(number + 1)
    assert cells[2] == f"{lesson.rows.labels[best]} ({100 * probabilities[best]:.0f} %)"


def test_the_drawing_tells_signs_without_colours(
    browser: Page, files: dict[str, Path], lessons: dict[str, Lesson]
) -> None:
    browser.open(files["plane"])
    browser.run("show({epoch: 5, step: 3})")
    negative = sum(int((params["weight"] < 0).sum()) for params in lessons["plane"].params[5] if params)
    assert browser.run("document.querySelectorAll('.edge.less').length") == negative
    assert browser.run("getComputedStyle(document.querySelector('.edge.less')).strokeDasharray") == "7px, 4px"
    assert browser.run("getComputedStyle(document.querySelector('.edge.more')).strokeDasharray") == "none"
    texts = browser.run(
        "[...document.querySelectorAll('#network-picture text:not(.name)')].map((one) => one.textContent)"
    )
    assert texts and all(text[0] in "+−" or float(text) == 0 for text in texts)


def test_controls_have_names(browser: Page, files: dict[str, Path]) -> None:
    for name in ("plane", "table"):
        browser.open(files[name])
        nodes: list[dict[str, Any]] = browser.call("Accessibility.getFullAXTree")["nodes"]
        roles = ("slider", "button", "radio", "application", "image", "img", "table", "group")
        found = [
            (one["role"]["value"], one["name"]["value"]) for one in nodes if one.get("role", {}).get("value") in roles
        ]
        assert {"slider", "button"} <= {role for role, _ in found}
        assert all(words.strip() for role, words in found if role in roles[:6]), found


def test_names_from_files_are_texts_and_no_other_script_runs(browser: Page, files: dict[str, Path]) -> None:
    browser.open(files["table"])
    assert EVIL in browser.run("document.querySelector('h1').textContent")
    assert browser.run("document.title") != "evil" and browser.run("document.querySelectorAll('img').length") == 0
    assert EVIL in browser.run("document.querySelector('#rows').textContent")
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert browser.run("document.title") != "1"
    assert any("Content Security Policy" in problem for problem in browser.problems)
    browser.problems.clear()
