"""docs/benchmarks.md and its pictures from result files.

``python -m benchmarks.report [results.json ...]`` reads the files named, else all of benchmarks/results/: those of
`benchmarks.compare`, `benchmarks.memory`, `benchmarks.device.report`, ``mlpcore bench --json`` and
``pytest benchmarks --benchmark-json``.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import memory, pictures
from benchmarks.compare import sweep_table
from benchmarks.device.tables import all_table, proof_table, stack_table, step_table
from benchmarks.results import FOLDER, Results, read
from benchmarks.targets import prediction_table, summary_tables
from mlpcore.bench.contenders import OURS
from mlpcore.bench.suite import Record
from mlpcore.bench.tables import TextTable, as_markdown, cases, count, rate, table, where
from mlpcore.bench.workloads import SWEEP, WORKLOADS
from mlpcore.files.writing import check_target, replace_file

DOCS = Path(__file__).parents[1] / "docs"
SWEPT = {workload.name for workload in SWEEP}
INTRODUCTION = """# Benchmarks

*Written by `python -m benchmarks.report` from the files in [benchmarks/results](../benchmarks/results). To measure your
own machine: `mlpcore bench`.*

All contenders do the same work: the same widths, batch, dtype, initial weights and rows; ReLU, softmax cross-entropy
and Adam with rate 1e-3; whole epochs, each in a new order of the rows. Drawing the order, gathering the rows, checking
the arguments of `fit` and the epoch's mean loss are timed for all contenders; compilation, warm-up and moving the data
to the device are not. Each contender is written in its library's usual style ([peers](../mlpcore/bench/peers)).
Contenders alternate in every round. Rows/s are medians over the rounds; shares and ratios are medians of the ratios of
each round, which a machine whose speed drifts does not change.

**The limit** on a CPU: the rows/s if a step were its matrix products alone, measured with `np.matmul` on the same
shapes into existing arrays, in the same rounds. On a GPU: the time that the step's bytes (rows read; parameters and
Adam's moments read and written) or its operations take at the rates of a large copy and a large product, whichever is
longer.

For two classes (tiny) scikit-learn trains one output where the others train two. "jax scan" is hand-written JAX, an
epoch under one `jit`; "mlpcore jax" is this library on its JAX backend.
"""

STEPS = """Steps of a given order of rows, which lies on the device for torch and JAX and on the host for mlpcore, whose
trainer sends it; the rows' gather, Adam and the losses are timed too. Products in bfloat16: mlpcore rounds the factors
and keeps results in float32; torch (autocast) and JAX keep activations in bfloat16. "torch graph" is a whole step as
one CUDA graph, "compiled" with the compiled model. Ratios are medians of those of the rounds, in which all alternate.
"""


def page(sources: Sequence[Results], images: Path) -> str:
    """The whole page; its pictures are written to ``images``."""
    parts = [INTRODUCTION]
    for title, make in SECTIONS:
        texts = [text for source in sources for text in make(source)]
        if texts:
            parts += [f"## {title}\n", *texts]
        parts += [f"![{alt}](images/{name})\n" for name, alt in pictures.draw(title, sources, images)]
    return "\n".join(parts)


def _captioned(source: Results, table: TextTable) -> str:
    return f"**{table.title}**\n\n{as_markdown(table)}\n\n*{where(source.about)}; {source.name}.json*\n"


def _summary(source: Results) -> Iterator[str]:
    yield from (_captioned(source, table) for table in summary_tables(source.records))


def _training(source: Results) -> Iterator[str]:
    named = {workload.name for workload in WORKLOADS}
    for key, by_contender in cases(source.records).items():
        if key[0] == "epoch" and key[1] in named:
            yield _captioned(source, table(by_contender))


def _steps(source: Results) -> Iterator[str]:
    """One table of all steps: a row for each workload, batch and dtype, a column for each backend."""
    step_cases = {
        key: by_contender
        for key, by_contender in cases(source.records).items()
        if key[0] == "step" and not source.parts
    }
    if step_cases:
        names = list(dict.fromkeys(name for by_contender in step_cases.values() for name in by_contender))
        rows = [
            [k[1], f"{k[2]:,}", k[3], *(count(rate(by_contender.get(name))) for name in names)]
            for k, by_contender in step_cases.items()
        ]
        yield _captioned(source, TextTable("training steps, rows/s", ["workload", "batch", "dtype", *names], rows))


def _device(source: Results) -> Iterator[str]:
    """What a run of benchmarks/device.sh measured, then what it proved."""
    if source.parts:
        yield STEPS
        tables = (step_table, stack_table, all_table)
        found = [*(table(source.records) for table in tables), proof_table(source.parts)]
        yield from (_captioned(source, table) for table in found if table)


def _prediction(source: Results) -> Iterator[str]:
    predictions = [record for record in source.records if record["what"] == "predict"]
    if predictions:
        yield _captioned(source, prediction_table(predictions))


def _sweep(source: Results) -> Iterator[str]:
    swept = [record for record in source.records if record["what"] == "epoch" and record["workload"] in SWEPT]
    names = list(dict.fromkeys(record["contender"] for record in swept if record["contender"].startswith(OURS)))
    if names:
        yield _captioned(source, sweep_table(swept, names))


def _memory(source: Results) -> Iterator[str]:
    for record in source.records:
        if record["what"] == "memory":
            yield f"{_memory_line(record)}\n\n*{where(source.about)}; {source.name}.json*\n"


def _memory_line(record: Record) -> str:
    shape, batch = "-".join(map(str, record["widths"])), record["batch"]
    words = f"One epoch of `fit` on float32 rows, {shape}, batch {batch}, on NumPy: {memory.line(record['bytes'])}."
    return f"{words} To be reached: the data + 300 MB."


SECTIONS: tuple[tuple[str, Callable[[Results], Iterator[str]]], ...] = (
    ("Training, in short", _summary),
    ("On a device: steps, and what was proved", _device),
    ("Prediction", _prediction),
    ("Batch size", _sweep),
    ("Memory", _memory),
    ("Training, all contenders", _training),
    ("Training steps", _steps),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the files and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="result files; by default all of benchmarks/results")
    parser.add_argument("--out", default=DOCS / "benchmarks.md", type=Path, help="the page")
    arguments = parser.parse_args(argv)
    files = arguments.files or sorted(FOLDER.glob("*.json"))
    check_target(arguments.out, {f"the result file {path}": path for path in files})
    sources = [read(path) for path in files]
    replace_file(arguments.out, [page(sources, arguments.out.parent / "images").encode()])
    print(f"{arguments.out}: {len(sources)} files")


if __name__ == "__main__":
    main()
