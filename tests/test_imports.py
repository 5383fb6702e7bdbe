"""Who may import whom, read from the source; and what `import mlpcore` must not load."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

import mlpcore

ROOT = Path(mlpcore.__file__).parent

# A part imports from the floors below its own, and from its neighbours only as said under SIDEWAYS.
FLOORS = [
    # These from each other.
    {
        *("errors", "typing", "random", "namespace", "configuration", "trees", "numerics"),
        *("memory", "host_memory", "temporary", "signals"),
    },
    {"compiler"},
    {"initializers", "schedules", "losses", "optimizers", "layers", "metrics"},
    {"backends", "gradient_check", "files", "summary", "tables"},
    {"distributed"},
    {"training"},
    {"arguments", "preprocessing", "trackers", "scores"},
    {"model"},
    {"loading", "bench", "onnx"},
    {"stacks"},
    {"tabular"},
    {"cli", "sklearn", "plotting", "__init__"},
    {"__main__"},
]
SIDEWAYS = {
    ("layers", "initializers"),
    ("layers", "schedules"),
    ("optimizers", "schedules"),
    ("cli", "plotting"),
    ("cli", "__init__"),
}
SIDEWAYS |= {("__init__", "plotting"), ("sklearn", "__init__"), ("sklearn", "plotting")}
# The two ways meet at the top only: the mathematics never sees a backend or the compiler, nor these the mathematics.
MATHEMATICS = {"initializers", "schedules", "losses", "optimizers", "layers", "metrics", "gradient_check"}
APART = {(a, b) for a in {"backends", "compiler"} for b in MATHEMATICS} | {(b, "compiler") for b in MATHEMATICS}
# Inside a function, for a method that is a short name for a function of the top floor.
LATE = {("training", "plotting"), ("model", "plotting")}

PLAIN = {"schedules", "losses", "optimizers", "layers"}
PLAIN_MODULES = {"training.gradients", "training.step", "training.rules", "training.factors", "numerics"}

COMPUTING = {"cupy", "cupyx", "torch", "jax", "jaxlib", "array_api_strict", "dask"}
HOST_NUMPY = {"random", "initializers", "gradient_check", "files", "tables", "training", "preprocessing", "model"}
HOST_NUMPY |= {"stacks", "compiler", "distributed", "sklearn", "cli", "plotting", "bench", "onnx", "tabular"}
HOST_NUMPY |= {"trackers", "scores"}
# init and noise are host arrays, and fit reads them
HOST_DRAWS = {"layers.dropout", "layers.normalization", "layers.batchnorm", "layers.members", "layers.robust"}
OTHERS = {
    "safetensors": {"files"},
    "sklearn": {"sklearn", "cli", "tabular", "scores"},
    "scipy": {"sklearn"},  # which scikit-learn brings
    "joblib": {"sklearn"},  # likewise
    "matplotlib": {"plotting"},
    "rich": {"cli", "training"},
    "threadpoolctl": {"bench"},
    "platformdirs": {"compiler"},
    "mpi4py": {"distributed"},
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


SOURCES = {module_name(path): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}


def part_of(module):
    return module.split(".")[0]


def floor_of(part):
    found = [number for number, floor in enumerate(FLOORS) if part in floor]
    assert found, f"mlpcore.{part} stands on no floor; say in FLOORS whom it may import"
    return found[0]


def imports_of(tree):
    """Pairs (dotted name, whether the import stands inside a function)."""
    late = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            yield from ((f"{node.module}.{alias.name}", node in late) for alias in node.names)


def breaches(sources):
    """``who imports whom`` for every import against the rules."""
    for module, tree in sources.items():
        mine = part_of(module)
        for name, late in imports_of(tree):
            if name.split(".")[0] != "mlpcore":
                continue
            theirs = name.split(".")[1] if "." in name else "__init__"
            if not any(theirs in floor for floor in FLOORS) and theirs not in map(part_of, SOURCES):
                theirs = "__init__"  # a name such as mlpcore.__version__
            edge = mine, theirs
            below = floor_of(theirs) < floor_of(mine) or mine == theirs or floor_of(theirs) == floor_of(mine) == 0
            if not ((below or edge in SIDEWAYS) and edge not in APART) and not (late and edge in LATE):
                yield f"{module} imports {name}"


def foreign(sources):
    """``who names which library`` for every library that is named where it must not be."""
    for module, tree in sources.items():
        mine = part_of(module)
        for name, _ in imports_of(tree):
            library = name.split(".")[0]
            if library == "mlpcore" or library in sys.stdlib_module_names or mine == "backends":
                continue
            if library == "numpy" and (mine in HOST_NUMPY or module in HOST_DRAWS):
                continue
            if name in ("array_api_compat.device", "array_api_compat.array_namespace"):
                continue
            if mine not in OTHERS.get(library, ()):
                yield f"{module} imports {name}"
        if mine not in ("backends", "cli", "bench"):
            for node in ast.walk(tree):
                word = getattr(node, "id", getattr(node, "value", None)) if hasattr(node, "lineno") else None
                if isinstance(word, str) and word.split(".")[0] in COMPUTING and " " not in word:
                    yield f"{module}:{node.lineno} names {word!r}"


def plain(module):
    """Whether a module must be plain Array API code: it runs eagerly everywhere, and the compiler sees all of it."""
    return part_of(module) in PLAIN or module in PLAIN_MODULES


# Of tuples, CuPy, scikit-learn, and of libraries that ctypes has loaded, where it is documented.
OF_LIBRARIES = {"_replace", "_asdict", "_fields", "_core", "_sign", "_handle"}


def private(name):
    return name.startswith("_") and not name.endswith("_") and name not in OF_LIBRARIES


def private_names_of_others(sources):
    """``who reads which private name`` of another part, by an attribute or an import."""
    defined = {}
    for module, tree in sources.items():
        names = defined.setdefault(part_of(module), set())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                names.add(getattr(node, "id", getattr(node, "attr", None)))
    for module, tree in sources.items():
        mine = defined[part_of(module)]
        others = set().union(*(names for part, names in defined.items() if part != part_of(module)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and private(node.attr) and node.attr in others - mine:
                yield f"{module}:{node.lineno} reads {node.attr}"
            theirs = (getattr(node, "module", None) or "").split(".") if isinstance(node, ast.ImportFrom) else [""]
            if theirs[0] == "mlpcore" and theirs[1:2] != [part_of(module)]:
                yield from (f"{module} imports {one.name}" for one in node.names if private(one.name))


def test_no_part_reads_private_names_of_another():
    assert not list(private_names_of_others(SOURCES))


@pytest.mark.parametrize("line", ["model._columns", "from mlpcore.training.fits import _chunks"])
def test_a_private_name_of_another_part_is_found(line):
    assert list(private_names_of_others(SOURCES | {"sklearn.base": ast.parse(line)}))


def test_members_and_the_step_know_no_compiler():
    assert {part_of(module) for module in SOURCES if plain(module)} == PLAIN | {"training", "numerics"}
    for module in filter(plain, SOURCES):
        assert not [name for name, _ in imports_of(SOURCES[module]) if name.startswith("mlpcore.compiler")], module


def imported(sources):
    """The modules that each module imports, late imports too."""
    edges = {}
    for module, tree in sources.items():
        names = [name.removeprefix("mlpcore.") for name, _ in imports_of(tree) if name.startswith("mlpcore.")]
        found = {next((one for one in (name, name.rpartition(".")[0]) if one in sources), None) for name in names}
        edges[module] = found - {module, None}
    return edges


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter(imported(SOURCES)).prepare()


def test_a_circle_is_found():
    late = {"typing": ast.parse("def f():\n    from mlpcore.model import Model")}
    with pytest.raises(CycleError, match="typing"):
        TopologicalSorter(imported(SOURCES | late)).prepare()


def test_imports_go_one_way():
    assert not list(breaches(SOURCES))


def test_libraries_are_named_in_backends_only():
    assert not list(foreign(SOURCES))


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("compiler.trace", "from mlpcore.layers import Linear"),
        ("trees", "from mlpcore import compiler"),
        ("layers.linear", "from mlpcore.compiler.trace import Tracer"),
        ("layers.linear", "from mlpcore.losses import Huber"),
        ("losses.regression", "from mlpcore.training.gradients import value_and_grad"),
        ("training.loop", "from mlpcore.model import Model"),
        ("training.loop", "from mlpcore.plotting import plot_history"),
        ("training.loop", "import mlpcore as mc"),
        ("backends.numpy", "from mlpcore.layers import Linear"),
        ("compiler.graph", "from mlpcore.optimizers import Adam"),
        ("model", "from mlpcore.sklearn import MLPClassifier"),
    ],
)
def test_a_wrong_import_is_found(module, line):
    assert list(breaches({module: ast.parse(line)})) != []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("layers.linear", "import numpy as np"),
        ("losses.regression", "import numpy"),
        ("numerics", "from scipy.special import erf"),
        ("numerics", "import array_api_compat.numpy as xp"),
        ("model", "import torch"),
        ("training.loop", "def f():\n    import jax.numpy as jnp"),
        ("training.loop", "if backend == 'cupy': pass"),
        ("model", "from sklearn.base import BaseEstimator"),
        ("losses.regression", "xp = import_module('torch.special')"),
    ],
)
def test_a_library_in_the_wrong_place_is_found(module, line):
    assert list(foreign({module: ast.parse(line)})) != []


def test_late_imports_are_let_pass_where_they_are_listed():
    assert not list(breaches({"training.history": ast.parse("def plot():\n    from mlpcore.plotting import draw")}))


def test_importing_mlpcore_loads_no_other_library():
    script = "import sys, mlpcore; mlpcore.get_backend('numpy'); print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    found = set(loaded.stdout.split())
    assert {"mlpcore", "numpy"} <= found
    assert not found & {*COMPUTING, "sklearn", "scipy", "matplotlib", "pandas", "polars", "narwhals", "rich"}


def test_no_folder_of_tests_stands_for_a_package():
    tests = Path(__file__).parent
    specs = {folder.name: find_spec(folder.name) for folder in tests.iterdir() if folder.is_dir()}
    places = {name: [*(spec.submodule_search_locations or ())] for name, spec in specs.items() if spec is not None}
    assert not {name for name, found in places.items() if str(tests / name) in found}


def test_the_public_names_are_there():
    assert not [name for name in mlpcore.__all__ if not hasattr(mlpcore, name)]
    assert len(set(mlpcore.__all__)) == len(mlpcore.__all__)


METHOD = {"layers": "forward", "losses": "value_and_grad", "optimizers": "update"}


@pytest.mark.parametrize("part", ["layers", "losses", "optimizers", "schedules", "initializers"])
def test_the_public_names_of_a_part_are_all_its_members(part):
    package = importlib.import_module(f"mlpcore.{part}")
    names = [f"mlpcore.{part}.{module.name}" for module in pkgutil.iter_modules(getattr(package, "__path__", ()))]
    members = {
        value.__name__
        for module in map(importlib.import_module, names or [package.__name__])
        for value in vars(module).values()
        if getattr(value, "__module__", "") == module.__name__ and "__dataclass_fields__" in vars(value)
        if hasattr(value, METHOD.get(part, "__call__"))
    }
    assert members == set(package.__all__) <= set(mlpcore.__all__)
