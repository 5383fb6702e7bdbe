"""The benchmarks: contenders do the same work, times and ratios are what they say, every primitive is measured.

No test asserts on time: where one is needed, the clock is a false one.
"""

import functools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from optional import optional

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # for the package benchmarks; what is installed goes first

import mlpcore as mc  # noqa: E402
from benchmarks import memory, report, results  # noqa: E402
from benchmarks.targets import summary_tables  # noqa: E402
from mlpcore.backends import get_backend  # noqa: E402
from mlpcore.bench import about as facts  # noqa: E402
from mlpcore.bench import contenders, limit, measure, suite, tables, workloads  # noqa: E402
from mlpcore.cli import bench, main  # noqa: E402
from mlpcore.errors import ConfigurationError, MissingDependency  # noqa: E402
from mlpcore.layers.activation import Activation  # noqa: E402

SMALL = workloads.Workload("small", 30, (5, 7, 6, 3), steps=1)
# torch.compile is left out: it is torch eager's code with the model wrapped, and takes 15 s to compile.
TRAINED = ["mlpcore numpy", "mlpcore torch", "mlpcore jax", "torch eager", "jax step", "jax scan", "scikit-learn"]
LIBRARY = {"torch": "torch", "jax": "jax", "scikit": "sklearn"}


def need(name):
    library = LIBRARY.get(name.removeprefix("mlpcore ").split()[0].split("-")[0])
    if library:
        optional(library)


def trained(task, epochs, eps_on):
    """The parameters after so many epochs of `Model.fit`, by the published form of Adam that is asked for."""
    layers, net = iter(task.params), task.workload.network()
    tree = tuple(dict(zip(("weight", "bias"), next(layers), strict=True)) if i % 2 == 0 else {} for i in range(5))
    words = {"dtype": task.dtype, "params": tree}
    model = mc.Model(net, mc.SoftmaxCrossEntropy(), mc.Adam(workloads.LEARNING_RATE, eps_on=eps_on), **words)
    model.fit(task.x, task.y, epochs=epochs, batch_size=task.workload.batch)
    return [(leaf["weight"], leaf["bias"]) for leaf in model.params if leaf]


@pytest.mark.oracle
def test_each_member_has_the_same_formula_in_jax():
    """Values of activations and losses, and eight updates of every optimizer, in float64: float32 would hide faults."""
    need("jax")
    import jax

    from benchmarks import jax_members, members

    kept = {name.split()[0].rstrip(",") for name in members.ACTIVATIONS | members.LOSSES | members.OPTIMIZERS}
    activations = [mc.Softmax, *(layer for layer in mc.layers.LAYERS if issubclass(layer, Activation))]
    losses = {*mc.losses.LOSSES} - {mc.MembersLoss, mc.StandardizedTarget}  # other losses around those of the list
    assert {one.__name__ for one in (*activations, *losses, *mc.optimizers.OPTIMIZERS)} == kept
    task = workloads.make_task(workloads.Workload("small", 12, (5, 7, 6, 8), steps=1))
    near, x = {"rtol": 1e-9, "atol": 1e-12}, np.linspace(-4, 4, 96).reshape(12, 8)
    with jax.enable_x64(True):
        for name, layer in members.ACTIVATIONS.items():
            np.testing.assert_allclose(layer.forward({}, x)[0], jax_members.ACTIVATIONS[name](x), **near, err_msg=name)
        for name, (loss, *_) in members.LOSSES.items():
            target = members.target_of(task, members.Case(name, loss=name))
            prepared = loss.prepare(target, 8, x.dtype)
            target = prepared if target.dtype.kind == "f" else target  # probabilities that sum to 1 in float64
            rows = [loss.value_and_grad(x, prepared, weights)[0] for weights in np.eye(12)]
            np.testing.assert_allclose(rows, jax_members.LOSSES[name](x, target), **near, err_msg=name)
        # Of many sizes: eps is seen beside the small ones, Lion's sign where an entry outweighs its average.
        rng = np.random.default_rng(0)
        gradients = rng.normal(size=(8, *x.shape)) * 10 ** rng.uniform(-8, 0, (8, *x.shape))
        for name, optimizer in members.OPTIMIZERS.items():
            update, rate, makers = jax_members.OPTIMIZERS[name]
            p, theirs = np.ravel(x), [x, *(make(x) for make in makers)]  # of two axes: weights, which may decay
            state = optimizer.init(p)
            for step, g in enumerate(gradients):
                theirs = list(update(np.float64(step + 1), rate, g, *theirs))
                p, state = optimizer.update(
                    np.ravel(g), state, p * (1 - rate * optimizer.weight_decay), np.asarray(rate)
                )
                message = f"{name}, update {step + 1}"
                np.testing.assert_allclose(p, np.ravel(theirs[0]), **near, err_msg=message)


@pytest.mark.oracle
def test_members_train_as_in_jax():
    """Two epochs of one batch end at the same parameters."""
    need("jax")
    from benchmarks import members

    task = workloads.make_task(workloads.Workload("small", 12, (5, 7, 6, 8), steps=1))
    ours, theirs = (make(task, members.CASES[1])(2) for make in (members.ours, members.theirs))
    for one, other in zip(sum(ours, ()), sum(theirs, ()), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("name", TRAINED)
def test_contenders_do_the_same_work(name):
    """One batch an epoch, so that the order of the rows is no matter: all end at the same parameters."""
    need(name)
    task = workloads.make_task(SMALL, "float64")
    contender = contenders.ready(name, task)  # the first epoch
    if name != "scikit-learn":  # its fits begin their moments anew
        contender.train(1)
        contender.stepper(np.arange(30)[::-1].reshape(1, 30))()
    form = "uncorrected" if name == "scikit-learn" else "corrected"
    expected = trained(task, 1 if name == "scikit-learn" else 3, form)
    for (weight, bias), (weight_, bias_) in zip(contender.params(), expected, strict=True):
        # Steps of 1e-3 agree to rounding, and the form of a bias correction, 1 - 0.999^t, has lost three digits.
        np.testing.assert_allclose(weight, weight_, rtol=0, atol=1e-14)
        np.testing.assert_allclose(bias, bias_, rtol=0, atol=1e-14)
    x = np.random.default_rng(3).normal(size=(4, 5))
    made = np.asarray(contender.predictor(x)())
    np.testing.assert_allclose(made.sum(axis=1), np.ones(4), rtol=1e-12)
    model = contenders.ready("mlpcore numpy", task)
    if name != "scikit-learn":
        model.train(2)
        np.testing.assert_allclose(made, model.predictor(x)(), rtol=0, atol=1e-13)


@pytest.mark.oracle
@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_contenders_keep_the_dtype_and_learn(name, dtype):
    need(name)
    task = workloads.make_task(workloads.Workload("more", 25, (5, 16, 3), steps=20), dtype)
    contender = contenders.ready(name, task)
    assert {str(leaf.dtype) for pair in contender.params() for leaf in pair} == {dtype}
    before = np.asarray(contender.predictor(task.x)())
    contender.train(5)
    after = np.asarray(contender.predictor(task.x)())
    losses = [-np.log(made[np.arange(len(task.y)), task.y]).mean() for made in (before, after)]
    assert str(after.dtype) == dtype and losses[1] < 0.9 * losses[0]


def test_workloads_are_those_that_are_named():
    named = {one.name: (one.batch, one.shape) for one in workloads.WORKLOADS}
    assert named == {
        "tiny": (32, "2-16-2"),
        "digits": (200, "64-100-10"),
        "tabular": (256, "32-128-128-8"),
        "mnist": (256, "784-512-512-10"),
        "deep": (1024, "128-256-256-256-256-256-256-10"),
        "wide": (4096, "256-1024-1024-10"),
    }
    swept = {name: sorted(one.batch for one in workloads.SWEEP if one.name == name) for name in ("narrow", "broad")}
    assert all(batches[0] == 1 and batches[-1] == 65536 for batches in swept.values())
    for one in (*workloads.WORKLOADS, *workloads.SWEEP):
        assert one.network().output_width(one.widths[0]) == one.widths[-1]
        assert one.parameters == sum(
            np.size(leaf)
            for pair in workloads.make_task(workloads.Workload("", 1, one.widths, 1)).params
            for leaf in pair
        )


def test_data_are_random_and_not_zero():
    task = workloads.make_task(workloads.WORKLOADS[1], "float32")
    assert task.x.shape == (task.workload.rows, 64) and task.x.dtype == "float32"
    assert np.all(task.x != 0) and set(task.y) == set(range(10))


def test_the_limit_does_the_products_of_a_step(monkeypatch):
    done, real = [], np.matmul

    def counted(a, b, out):
        done.append(2 * a.shape[0] * a.shape[1] * b.shape[1])
        return real(a, b, out=out)

    run = limit.products(workloads.make_task(SMALL, "float64"))
    monkeypatch.setattr(np, "matmul", counted)
    run(2)
    assert sum(done) == 2 * SMALL.rows * SMALL.flops
    assert len(done) == 2 * (3 + 3 + 2)  # forward, x.T @ dy, dy @ w.T but for the first layer


def test_the_floor_is_bytes_or_operations():
    one = workloads.Workload("one", 10, (4, 3), steps=2)
    moved = 4 * (10 * 4 + 6 * (4 * 3 + 3))
    assert limit.floor(one, "float32", 1.0, 1e9) == pytest.approx(2 * moved)
    assert limit.floor(one, "float32", 1e9, 1.0) == pytest.approx(2 * 10 * (2 * 2 * 4 * 3))


def test_probes_run_on_a_backend_and_say_what_they_move():
    runs = limit.probes(get_backend("numpy"), "float32", elements=1000, side=8)
    for run, _ in runs.values():
        run(2)
    assert runs["copy"][1] == 2 * 1000 * 4 and runs["product"][1] == 2 * 8**3


def test_runs_take_turns_and_are_timed_once_a_round(monkeypatch):
    clock, done = [0.0], []
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])

    def run(name, seconds, times):
        done.append((name, times))
        clock[0] += seconds * times

    runs = {name: functools.partial(run, name, s) for name, s in {"a": 0.25, "b": 0.001, "c": 4.0}.items()}
    taken = measure.alternate(runs, rounds=4, seconds=1.0)
    assert taken == {name: pytest.approx([s] * 4) for name, s in {"a": 0.25, "b": 0.001, "c": 4.0}.items()}
    turns = [name for name, _ in done][-12:]
    assert turns == list("abcbcacababc")
    times = {name: [n for who, n in done[-12:] if who == name] for name in runs}
    assert times["a"] == [4] * 4 and times["b"] == [1000] * 4 and times["c"] == [1] * 4


def record(contender, seconds, what="epoch", workload="mnist", batch=256, rows=1000, **more):
    words = {"widths": [784, 512, 512, 10], "dtype": "float32", "device": "cpu", "rows": rows, "flops": 7 * rows}
    found = {"what": what, "workload": workload, "batch": batch, **words, "contender": contender}
    return found | ({"seconds": seconds} if seconds else {}) | more


RECORDS = [
    record("limit", [1.0, 2.0, 1.0]),
    record("mlpcore numpy", [2.0, 4.0, 4.0]),
    record("torch eager", [4.0, 8.0, 4.0]),
    record("jax scan", [1.0, 4.0, 2.0]),
    record("torch.compile", None, skipped="no compiler"),
]


def test_tables_show_medians_and_ratios_within_rounds():
    (found,) = tables.cases(RECORDS).values()
    made = tables.table(found)
    assert [row[0] for row in made.rows] == ["jax scan", "mlpcore numpy", "torch eager", "limit", "torch.compile"]
    own = made.rows[1]
    # Median time 4 of (2, 4, 4); shares 1/2, 2/4, 1/4; against jax 1/2, 4/4, 2/4.
    assert own == ("mlpcore numpy", "250", "1.75e-06", "50 %", "0.50 x")
    assert made.rows[4][1] == "skipped: no compiler"
    text = tables.as_text(made)
    assert text.splitlines()[0] == "mnist: training, 784-512-512-10, batch 256, float32"
    assert text.splitlines()[4].split() == ["mlpcore", "numpy", "250", "1.75e-06", "50", "%", "0.50", "x"]
    (short,) = summary_tables(RECORDS)
    assert short.rows == [["mnist", "250", "1.75e-06", "50 % (86 %)", "2.00 x (1.25 x)", "0.50 x (1.00 x)",
                           "0.50 x, jax scan"]]  # fmt: skip


def test_results_come_back(tmp_path):
    writer = results.Writer(tmp_path / "there" / "r.json", "cpu", rounds=3)
    writer.add([record("mlpcore numpy", [0.1234567891])])
    writer.add([record("limit", [1.0])])
    back = results.read(tmp_path / "there" / "r.json")
    assert [one["seconds"] for one in back.records] == [[0.123457], [1.0]] and back.name == "r"
    assert {"cpu", "cores", "versions", "date", "commit"} <= back.about.keys() and back.about["versions"]["numpy"]


def test_a_missing_library_is_skipped_with_its_reason(monkeypatch):
    def missing(name):
        raise MissingDependency(f"{name} cannot be imported; the extra `bench` brings it")

    for module in ("torch", "torch_graph", "jax", "sklearn"):
        monkeypatch.setattr(f"mlpcore.bench.peers.{module}.library", missing)
    records = suite.epochs(SMALL, ["mlpcore numpy", *contenders.PEERS], rounds=1, seconds=1e-9)
    assert [one["contender"] for one in records if "seconds" in one] == ["limit", "mlpcore numpy"]
    assert [one["contender"] for one in records if "skipped" in one] == list(contenders.PEERS)
    assert all("the extra `bench` brings it" in one["skipped"] for one in records if "skipped" in one)


def test_an_error_of_our_own_is_not_skipped(monkeypatch):
    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr("mlpcore.bench.ours.contender", broken)
    with pytest.raises(RuntimeError, match="broken"):
        contenders.ready("mlpcore numpy", workloads.make_task(SMALL))
    monkeypatch.setattr("mlpcore.bench.peers.sklearn.classifier", broken)
    with pytest.raises(contenders.Skipped, match="RuntimeError: broken"):
        contenders.ready("scikit-learn", workloads.make_task(SMALL))


def test_the_page_names_machine_versions_date_and_commit_under_every_table(tmp_path):
    about = {"cpu": "a chip", "cores": 2, "system": "Linux", "python": "3.11", "versions": {"numpy": "2.4"}}
    about |= {"date": "2026-11-21", "commit": "abc"}
    gpu_about = about | {"gpu": "a card"}
    swept = [
        record(who, [1.0 / batch], workload=name, batch=batch)
        for name in ("narrow", "broad")
        for batch in (1, 64, 4096)
        for who in ("mlpcore numpy", "limit")
    ]
    on_gpu = [one | {"device": "cuda", "contender": "mlpcore cupy"} for one in swept if one["contender"] != "limit"]
    predicted = [record(who, [0.1], what="predict", batch=1) for who in ("mlpcore numpy", "torch eager")]
    stepped = [record("mlpcore numpy", [0.1], what="step")]
    sizes = {"data": 10**9, "imported": 10**7, "before": 10**9 + 10**7, "peak": 10**9 + 10**8}
    remembered = [record("mlpcore numpy", None, what="memory", bytes=sizes)]
    sources = [
        results.Results("cpu", about, [*RECORDS, *swept, *predicted, *stepped, *remembered]),
        results.Results("gpu", gpu_about, on_gpu),
    ]
    text = report.page(sources, tmp_path)
    rules = text.count("| --- |")
    captions = re.findall(
        r"(?m)^\*(a card; )?a chip, 2 cores; .*numpy 2.4; 2026-11-21; commit abc; [cg]pu.json\*$", text
    )
    assert rules == 6 and len(captions) == rules + 1 and captions.count("a card; ") == 1
    assert "the data 1,000 MB + 100 MB, of which 10 MB were there before the fit" in text
    pictures = re.findall(r"!\[[^]]+\]\(images/(.*)\)", text)
    assert sorted(pictures) == ["bench_batch.png", "bench_gpu.png", "bench_share.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_the_page_in_docs_is_what_the_report_makes_of_the_results(tmp_path):
    sources = [results.read(path) for path in sorted(results.FOLDER.glob("*.json"))]
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert report.page(sources, tmp_path) == page, "run python -m benchmarks.report"


def test_the_report_does_not_replace_what_it_reads(tmp_path):
    results.Writer(tmp_path / "r.json", "cpu")
    before = (tmp_path / "r.json").read_bytes()
    with pytest.raises(ConfigurationError, match=r"r\.json is the result file .*, which would be overwritten"):
        report.main([str(tmp_path / "r.json"), "--out", str(tmp_path / "r.json")])
    assert (tmp_path / "r.json").read_bytes() == before


def test_the_command(capsys, tmp_path, monkeypatch):
    words = ["bench", "--workloads", "tiny,digits", "--seconds", "1e-9", "--no-peers"]
    assert main([*words, "--json", str(tmp_path / "b.json")]) == 0
    out = capsys.readouterr().out
    assert "tiny: training, 2-16-2, batch 32, float32" in out and "mlpcore numpy" in out and "limit" in out
    assert f"numpy {np.__version__}" in out
    found = results.read(tmp_path / "b.json")
    assert {one["workload"] for one in found.records} == {"tiny", "digits"} and len(found.records) == 4
    monkeypatch.setattr(bench, "BUDGET", -1.0)
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "tiny: left out, the time is up" in out and "rows/s" not in out
    assert main(["bench", "--workloads", "mnits"]) == 2
    assert "workloads is 'mnits', expected one of 'tiny'" in capsys.readouterr().err
    assert main(["bench", "--seconds", "nan"]) == 2


def test_memory_is_that_of_a_process_of_its_own():
    freed = f"{memory.PEAK}\ndata = bytearray(50_000_000); del data; print(peak())"
    done = subprocess.run([sys.executable, "-c", freed], capture_output=True, text=True, check=True)
    assert 50_000_000 < int(done.stdout) < 100_000_000  # not the size now, nor the peak of this process
    found = memory.measure(gigabytes=0.02, batch=64)
    assert found["data"] == pytest.approx(2e7, rel=1e-3)
    assert found["imported"] < found["before"] <= found["peak"] and found["before"] >= found["data"]


@pytest.mark.parametrize("plugin", [True, False])
def test_the_suite_runs_with_and_without_pytest_benchmark(plugin):
    if plugin:
        optional("pytest_benchmark")
    words = ["--benchmark-disable"] if plugin else ["-p", "no:benchmark"]
    chosen = "tiny-32-float32 and numpy or affine-256x128-float32 and numpy or limit-tiny or scikit-learn-tiny-1-"
    flags = ["-q", "-rs", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *flags, "benchmarks", *words, "-k", chosen]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert ("passed" in last) == plugin, done.stdout
    assert plugin or "pytest-benchmark is not installed; the extra `bench` brings it" in done.stdout


@pytest.mark.parametrize(
    ("cpu", "kernels", "advised"),
    [
        ("EPYC, avx512f", ["Haswell"], True),
        ("EPYC, avx512f", ["SkylakeX"], False),
        ("EPYC, avx512f", ["Haswell", "SkylakeX"], False),
        ("Core, avx2", ["Haswell"], False),
        ("EPYC, avx512f", [], False),
    ],
)
def test_advice_on_narrow_kernels(cpu: str, kernels: list, advised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = [{"internal_api": "openblas", "architecture": name, "num_threads": 2} for name in kernels]
    monkeypatch.setattr(facts, "pools", lambda: [*pools, {"internal_api": "openmp", "num_threads": 2}])
    monkeypatch.setattr(facts, "cpu", lambda: cpu)
    assert ("OPENBLAS_CORETYPE" in facts.advice()) == advised
