"""Accuracy and cost of learners on eleven real tables (`benchmarks.real_tables`), on the same rows for all.

``python -m benchmarks.tables --out results.jsonl`` runs what is not in the file yet and prints the report;
``--methods``, ``--tables`` and ``--splits`` choose, ``--report`` only prints; ``--ablation`` compares "realmlp" with
itself, each time without one ingredient. Every learner gets the training rows and the rows that choose its epoch or
round; one that has no use for the latter does not see them. Seconds are CPU seconds of ``fit`` on one thread. A learner
whose package is missing fails, with the reason.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MLPCORE_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy is imported

import argparse
import importlib
import json
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.real_tables import TABLES, Part, load, split
from mlpcore.tabular.recipes import RECIPES

REFERENCE, WHOLE = "mlpcore MLP", "mlpcore realmlp"  # what others are compared with; in the ablation
WORSE_IF_LARGER = ("error", "logloss")


class Learner(NamedTuple):
    """``make(stem, seed)`` is the estimator for "Classifier" or "Regressor"; ``fit(estimator, training, validation)``.

    ``form`` is that of the features, see `prepared`; a regressor gets a standardised target if ``scaled``.
    """

    form: str
    make: Callable[[str, int], Any]
    fit: Callable[[Any, Part, Part], Any]
    scaled: bool = False


def prepared(form: str, parts: tuple[Part, ...]) -> list[Part]:
    """The parts with features in a form that a learner takes, learnt on the first.

    "raw": as they are. "category": text as category columns, unseen levels missing. "words": text, "(none)" where
    missing. "imputed": "category" with "(none)" as a level, medians and indicators for missing numbers. "encoded":
    float32, standardised and one-hot.
    """
    frames = [part.x.copy() for part in parts]
    text = [name for name in frames[0] if frames[0][name].dtype == object]
    numeric = [name for name in frames[0] if name not in text]
    if form == "encoded":
        encoder = _encoder(numeric, text).fit(frames[0])
        tables = [np.ascontiguousarray(encoder.transform(frame), dtype=np.float32) for frame in frames]
        return [Part(table, part.y) for table, part in zip(tables, parts, strict=True)]
    medians = frames[0][numeric].median()
    gaps = [name for name in numeric if frames[0][name].isna().any()]
    none = ["(none)"] if form == "imputed" else []
    levels = {name: pd.CategoricalDtype(sorted({*frames[0][name].dropna(), *none})) for name in text}
    for frame in frames:
        if form == "imputed":
            for name in gaps:
                frame[f"{name} is missing"] = frame[name].isna().astype(np.float64)
            frame[numeric] = frame[numeric].fillna(medians)
        for name in text if form != "raw" else ():
            if form == "words":
                frame[name] = frame[name].fillna("(none)")
            else:
                known = frame[name].isin(levels[name].categories)
                frame[name] = frame[name].where(known, *none or [np.nan]).astype(levels[name])
    return [Part(frame, part.y) for frame, part in zip(frames, parts, strict=True)]


def _encoder(numeric: list[str], text: list[str]) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="(none)"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    return make_column_transformer((numbers, numeric), (words, text))


def maker(module: str, stem: str, **words: Any) -> Callable[[str, int], Any]:
    """A function that makes the classifier or regressor of a module."""
    return lambda kind, seed: getattr(importlib.import_module(module), stem + kind)(**words, random_state=seed)


def ours(recipe: Any, **words: Any) -> Learner:
    """The estimators of `mlpcore.tabular` with a recipe."""
    make = maker("mlpcore.tabular", "Tabular", recipe=recipe, **words)
    return Learner("raw", make, lambda one, t, v: one.fit(t.x, t.y, X_val=v.x, y_val=v.y))


ROUNDS = {"n_estimators": 1000, "n_jobs": 1}
LEARNERS = {
    "scikit-learn MLP": Learner(
        "encoded", maker("sklearn.neural_network", "MLP"), lambda one, t, v: one.fit(t.x, t.y), True
    ),
    REFERENCE: Learner(
        "encoded",
        maker("mlpcore.sklearn", "MLP", early_stopping=True),
        lambda one, t, v: one.fit(t.x, t.y, validation_data=(v.x, v.y)),
        True,
    ),
    "mlpcore mlp": ours("mlp"),
    "mlpcore realmlp-s": ours("realmlp-s"),
    WHOLE: ours("realmlp"),
    "mlpcore tabm": ours("tabm"),
    "mlpcore realmlp x 8": ours("realmlp", n_ensemble=8),
    "HistGradientBoosting": Learner(
        "category",
        maker("sklearn.ensemble", "HistGradientBoosting", max_iter=1000, early_stopping=True, n_iter_no_change=50),
        lambda one, t, v: one.fit(t.x, t.y, X_val=v.x, y_val=v.y),
    ),
    "LightGBM": Learner(
        "category",
        maker("lightgbm", "LGBM", **ROUNDS, verbose=-1, early_stopping_round=50),
        lambda one, t, v: one.fit(t.x, t.y, eval_set=[(v.x, v.y)]),
    ),
    "XGBoost": Learner(
        "category",
        maker("xgboost", "XGB", **ROUNDS, enable_categorical=True, early_stopping_rounds=50),
        lambda one, t, v: one.fit(t.x, t.y, eval_set=[(v.x, v.y)], verbose=False),
    ),
    "CatBoost": Learner(
        "words",
        maker("catboost", "CatBoost", thread_count=1, verbose=False, allow_writing_files=False),
        lambda one, t, v: one.fit(
            *t,
            cat_features=[name for name in t.x if t.x[name].dtype == object],
            eval_set=(v.x, v.y),
            early_stopping_rounds=50,
        ),
    ),
    "pytabkit RealMLP-TD-S": Learner(
        "imputed", maker("pytabkit", "RealMLP_TD_S_", n_threads=1, device="cpu"), lambda one, t, v: one.fit(*t, *v)
    ),
    "pytabkit RealMLP-TD": Learner(
        "imputed", maker("pytabkit", "RealMLP_TD_", n_threads=1, device="cpu"), lambda one, t, v: one.fit(*t, *v)
    ),
}

ABLATION = {
    f"realmlp, {what}": ours(replace(RECIPES["realmlp"], **fields))
    for what, fields in {
        "no dropout": {"dropout": 0.0},
        "no weight decay": {"weight_decay": 0.0},
        "no label smoothing": {"label_smoothing": 0.0},
        "no embedding of numbers": {"embedding": "none"},
        "piecewise embedding": {"embedding": "piecewise"},
        "no scales in front": {"front_scale": False},
        "no NTK": {"ntk": False},
        "no learned activations": {"parametric": False},
        "initial values from the rows": {"from_data": True},
        "all categories one-hot": {"largest_one_hot": None},
        "predictions in the range of training": {"clamp": True},
    }.items()
}


def measured(method: str, table: str, number: int, rows: int) -> dict[str, Any]:
    """Fit a learner on a split of a table; its errors on the test rows, or why it failed."""
    row: dict[str, Any] = {"method": method, "table": table, "split": number}
    warnings.simplefilter("ignore")
    learner = (LEARNERS | ABLATION)[method]
    x, y, task = load(table, rows)
    try:
        training, validation, test = prepared(learner.form, split(x, y, task, number))
        scaled = learner.scaled and task == "reg"
        mean, scale = (training.y.mean(), training.y.std()) if scaled else (0, 1)
        if scaled:
            training, validation = (part._replace(y=(part.y - mean) / scale) for part in (training, validation))
        model = learner.make("Classifier" if task == "class" else "Regressor", number)
        began = time.process_time()
        learner.fit(model, training, validation)
        row["seconds"] = time.process_time() - began
        return row | _errors(model, test, task, mean, scale)
    except Exception as error:  # a learner that fails is a result too
        return row | {"failed": f"{type(error).__name__}: {str(error)[:300]}"}


def _errors(model: Any, test: Part, task: str, mean: float, scale: float) -> dict[str, float]:
    if task == "reg":
        errors = np.asarray(model.predict(test.x), np.float64).ravel() * scale + mean - test.y
        return {"error": float(np.sqrt(np.mean(errors**2)) / test.y.std())}
    from sklearn.metrics import log_loss, roc_auc_score

    shares = np.asarray(model.predict_proba(test.x), np.float64)
    shares = np.clip(shares / shares.sum(axis=1, keepdims=True), 1e-7, 1)
    shares /= shares.sum(axis=1, keepdims=True)
    auc = roc_auc_score(test.y, shares[:, 1] if shares.shape[1] == 2 else shares, multi_class="ovr")
    error = float(np.mean(shares.argmax(axis=1) != test.y))
    return {"error": error, "logloss": float(log_loss(test.y, shares)), "auc": float(auc)}


def report(rows: list[dict[str, Any]], reference: str) -> None:
    """Print the means over the splits that all methods have done, mean ranks, and the reduction of the error."""
    for row in rows:
        if "failed" in row:
            print(f"failed: {row['method']} on {row['table']}, split {row['split']}: {row['failed']}")
    frame = pd.DataFrame([row for row in rows if "failed" not in row])
    methods = frame.method.nunique()
    frame = frame[frame.groupby(["table", "split"]).method.transform("nunique") == methods]
    print(f"{methods} methods, splits by table:", frame.groupby("table").split.nunique().to_dict())
    titles = {
        "error": "Error: the share of wrong classes, or RMSE over the standard deviation of the test target",
        "logloss": "Log loss",
        "auc": "Area under the ROC curve (one class against the others)",
        "seconds": "CPU seconds of a fit",
    }
    for column, title in titles.items():
        if column not in frame:
            continue
        known = frame[frame[column].notna()]
        wide = known.pivot_table(index="method", columns="table", values=column, sort=False)
        wide = wide[[table for table in TABLES if table in wide]]
        shown = {name: [_number(value, column) for value in line] for name, line in wide.iterrows()}
        head = [*wide]
        if column != "seconds":
            head.append("mean rank")
            ranks = (wide * (1 if column in WORSE_IF_LARGER else -1)).rank().mean(axis=1)
            for name in shown:
                shown[name].append(f"{ranks[name]:.2f}")
        if column in WORSE_IF_LARGER and reference in wide.index:
            head.append("less, %")
            by_split = known.pivot_table(index=["split", "method"], columns="table", values=column)
            gains = [
                (100 * (1 - part.droplevel(0) / part.xs(reference, level=1).iloc[0])).mean(axis=1)
                for _, part in by_split.groupby(level=0)
            ]
            spread = pd.concat(gains, axis=1).std(axis=1)
            mean = (100 * (1 - wide / wide.loc[reference])).mean(axis=1)
            for name in shown:
                shown[name].append(f"{mean[name]:.1f} ± {spread[name]:.1f}")
        print(f"\n### {title}\n\n| | {' | '.join(head)} |\n|---|{'---|' * len(head)}")
        print("\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in shown.items()))
    print(f"\nless, %: the mean over the tables of 1 - error / error of {reference} (± standard deviation over splits)")


def _number(value: float, column: str) -> str:
    return "" if pd.isna(value) else f"{value:.3g}" if column == "seconds" else f"{value:.4f}"


def main() -> None:
    """Run what is missing, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("tables.jsonl"), help="a file of results, which grows")
    parser.add_argument("--methods", type=lambda text: text.split(";"), help="separated by semicolons")
    parser.add_argument("--ablation", action="store_true", help="realmlp, each time without one ingredient")
    parser.add_argument("--tables", type=lambda text: text.split(","), default=[*TABLES])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="only print")
    arguments = parser.parse_args()
    methods = arguments.methods or ([WHOLE, *ABLATION] if arguments.ablation else [*LEARNERS])
    rows = [json.loads(line) for line in arguments.out.open()] if arguments.out.exists() else []
    done = {(row["method"], row["table"], row["split"]) for row in rows}
    if not arguments.report:
        with ProcessPoolExecutor(arguments.jobs) as pool, arguments.out.open("a") as file:
            jobs = [
                pool.submit(measured, method, table, number, arguments.rows)
                for number in range(arguments.splits)  # so that what is there early is a fair comparison
                for method in methods
                for table in arguments.tables
                if (method, table, number) not in done
            ]
            for job in as_completed(jobs):
                rows.append(job.result())
                print(json.dumps(rows[-1]), file=file, flush=True)
                print(json.dumps(rows[-1]), flush=True)
    chosen = [row for row in rows if row["method"] in methods and row["table"] in arguments.tables]
    report(chosen, WHOLE if arguments.ablation else REFERENCE)


if __name__ == "__main__":
    main()
