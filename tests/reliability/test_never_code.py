"""A model file is never code: loading runs none, and its texts reach neither the compiler nor a path."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import optional

import mlpcore as mc
from mlpcore.compiler import program
from mlpcore.files.specification import REGISTRY

HOSTILE = [
    "*/ int main(void) { system(0); } /*",
    "\n#include </etc/passwd>\n",
    "a\\\nb",
    '"; rm -rf ~; "',
    "../../x",
    "\0",
]
HOSTILE += ["$(reboot)", "`reboot`", "\u202e\U0001f600", "%n%s", "__import__('os').system('reboot')", "x" * 5000, "{0}"]

WATCHED = """
import sys, tempfile
import numpy, mlpcore.tabular, safetensors.numpy, mlpcore as mc
from mlpcore.tabular import load
paths = sys.argv[1:]
for path in paths:  # what is imported when first used is imported now
    (mc.load if path.endswith("model") else load)(path)
events = []
def note(event, arguments):
    if watching and event in NAMES:
        events.append((event, str(arguments)[:200]))
NAMES = {"import", "exec", "compile", "open", "pickle.find_class", "marshal.loads", "ctypes.dlopen", "os.system",
         "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "code.__new__", "os.remove", "os.rename"}
watching = False
sys.addaudithook(note)
watching = True
for path in paths:
    (mc.load if path.endswith("model") else load)(path)
watching = False
print([event for event in events if not (event[0] == "open" and any(path in event[1] for path in paths))])
"""


def hostile_table(names: list[str]) -> dict[str, np.ndarray]:
    """Columns with these names and levels."""
    levels = np.array([names[row % len(names)] for row in range(60)], dtype=object)
    return {name: levels if i % 2 else np.arange(60.0) * (i + 1) % 7 for i, name in enumerate(names)}


def table_model(names: list[str], path: Path) -> Path:
    optional("sklearn")
    from mlpcore.tabular import TabularClassifier
    from mlpcore.tabular.recipes import PlainMLP

    y = np.array([names[row % 3] for row in range(60)], dtype=object)
    recipe = PlainMLP(hidden=(4,), epochs=1, batch_size=16)
    TabularClassifier(recipe, random_state=0).fit(hostile_table(names), y).save(path)
    return path


@pytest.mark.filterwarnings("ignore::mlpcore.errors.MlpcoreWarning")
def test_loading_imports_opens_and_runs_nothing(tmp_path: Path) -> None:
    """The events of Python's own audit: besides the file itself nothing is opened."""
    model = mc.Model(mc.Sequential(mc.Linear(2, 3), mc.GELU(), mc.Linear(3, 1)), mc.HalfSquaredError())
    model.save(tmp_path / "model", extra={text: text for text in HOSTILE})
    paths = [str(tmp_path / "model"), str(table_model(HOSTILE, tmp_path / "table"))]
    done = subprocess.run([sys.executable, "-c", WATCHED, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are compiled for steps and predictions."""
    texts, build = list[str](), program.build

    def noted(text: str) -> Any:
        texts.append(text)
        return build(text)

    monkeypatch.setattr(program, "build", noted)
    return texts


@pytest.mark.filterwarnings("ignore::mlpcore.errors.MlpcoreWarning")
def test_texts_of_a_file_are_not_in_the_printed_c(tmp_path: Path, printed: list[str]) -> None:
    from mlpcore.tabular import load

    found = []
    for kind, names in {"hostile": HOSTILE, "plain": [f"name {i}" for i in range(len(HOSTILE))]}.items():
        loaded = load(table_model(names, tmp_path / kind))
        printed.clear()
        program.library.cache_clear()
        model = mc.Model(**vars(loaded.model.specification), params=loaded.model.params, compile=True)
        x = loaded.description.rows(hostile_table(names), "float32")
        model.fit(x, np.arange(60) % 3, epochs=1, batch_size=20)
        model.predict(x)
        found.append(list(printed))
    assert found[0] == found[1] and found[0]
    assert not any(text in source for text in HOSTILE if len(text) > 5 for source in found[0])


TINY = (5e-324, 1e-300)  # products of such numbers are zero, which does change the program
NUMBERS = [*TINY, 1e308, 0.1, 1 / 3, 1e22, 123456789.0]


def network(slope: float, rate: float) -> mc.Model:
    net = mc.Sequential(mc.Linear(2, 3), mc.LeakyReLU(slope), mc.LayerNorm(3, eps=slope), mc.Linear(3, 1))
    return mc.Model(net, mc.Huber(rate), mc.Adam(rate), l2=rate, clip_norm=rate, dtype="float64", compile=True)


def test_numbers_of_a_file_are_valid_c_or_no_text_at_all(tmp_path: Path, printed: list[str]) -> None:
    """The same program for all numbers: they are operands of it."""
    x, texts = np.ones((6, 2)), dict[str, float]()
    for number in NUMBERS:
        network(number, number).save(tmp_path / "model")
        specification = mc.load(tmp_path / "model").specification
        printed.clear()
        program.library.cache_clear()
        model = mc.Model(**vars(specification), compile=True)
        with np.errstate(all="ignore"), suppress(mc.NonFiniteError):
            model.fit(x, np.ones((6, 1)), epochs=1, batch_size=6)
        assert printed
        if number not in TINY:
            texts["".join(printed)] = number
    assert len(texts) == 1, texts.values()


def test_every_type_of_a_file_is_on_a_list_of_mlpcores_own() -> None:
    for members in REGISTRY.values():
        assert members and all(member.__module__.startswith("mlpcore.") for member in members)
