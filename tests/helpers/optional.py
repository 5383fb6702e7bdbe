"""Libraries that not every machine has, and what installs them: the reasons of the table at the end of a run."""

from typing import Any

import pytest

EXTRAS = {
    **dict.fromkeys(("torch", "jax"), "oracles"),
    **dict.fromkeys(("sklearn", "scipy"), "sklearn"),
    **dict.fromkeys(("array_api_strict", "onnxruntime", "pandas", "pyarrow", "cloudpickle", "ml_dtypes"), "test"),
    **dict.fromkeys(("dask", "distributed", "mpi4py", "optuna", "yaml"), "test"),
    **dict.fromkeys(("polars", "narwhals"), "tables"),
    **dict.fromkeys(("threadpoolctl", "pytest_benchmark"), "bench"),
    **{
        "onnx": "onnx",
        "matplotlib": "plot",
        "rich": "ui",
        "cupy": "cuda13",
        "tensorboard": "tensorboard",
        "mlflow": "mlflow",
    },
}


def optional(module: str) -> Any:
    """The module, or a skip that names the extra that installs it."""
    library = module.partition(".")[0]
    return pytest.importorskip(module, reason=f"no {library}: pip install '.[{EXTRAS[library]}]'")
