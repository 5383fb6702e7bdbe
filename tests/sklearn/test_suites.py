"""Suites that need a process of their own: scikit-learn's tests on our classes, and the contract under dispatch."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from optional import optional

sklearn = optional("sklearn")

import mlpcore  # noqa: E402

HERE = Path(__file__).parent
HELPERS = HERE.parent / "helpers"
THEIRS = "sklearn.neural_network.tests.test_mlp"
# Items of scikit-learn's own tests that cannot pass, and why.
EXCEPTIONS = {
    "": {
        "test_gradient": "calls the private _loss_grad_lbfgs with scikit-learn's own work arrays",
        "test_predict_proba_multilabel": "wants log(1.0) where the probability is 1 - 1e-17: logarithms of raw scores "
        "tell apart what rounded probabilities do not",
        "test_early_stopping_stratified": "wants an error for a class of one row, which here stays among those trained "
        "on",
    },
    "sklearn": {
        "test_gradient": "calls the private _loss_grad_lbfgs with scikit-learn's own work arrays",
    },
}


def outcomes(tmp_path: Path, *arguments: str, **environment: str) -> dict[str, str]:
    """What a pytest in a process of its own said: the name of every item, and passed, failed or skipped."""
    report = tmp_path / "report.xml"
    paths = os.pathsep.join([str(Path(mlpcore.__file__).parent.parent), str(HELPERS)])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": paths} | environment, capture_output=True, text=True, check=False
    )
    assert report.exists(), done.stdout + done.stderr
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        bad = kinds & {"failure", "error"}
        found[case.attrib["name"]] = "failed" if bad else "skipped" if "skipped" in kinds else "passed"
    return found


@pytest.mark.long
@pytest.mark.parametrize("compat", ["", "sklearn"])
def test_scikit_learns_own_tests(tmp_path: Path, compat: str) -> None:
    plugin = ["-p", "swapped_estimators", "-c", os.devnull, f"--rootdir={tmp_path}", "--pyargs", THEIRS]
    # 1.6 cannot import its own test tools without the variable; it turns nothing on by itself.
    found = outcomes(tmp_path, *plugin, MLPCORE_COMPAT=compat, SCIPY_ARRAY_API="1")
    failed = {name.partition("[")[0] for name, outcome in found.items() if outcome == "failed"}
    exceptions = {name for name in EXCEPTIONS[compat] if name in {item.partition("[")[0] for item in found}}
    assert len(found) > 50 and failed == exceptions


@pytest.mark.long
def test_the_contract_under_dispatch(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "--long", str(HERE / "test_contract.py"), SCIPY_ARRAY_API="1")
    assert [name for name, outcome in found.items() if outcome == "failed"] == []
    # Those of two namespaces need torch too.
    dispatched = [name for name in found if "array_namespace=array_api_strict" in name]
    assert dispatched and all(found[name] == "passed" for name in dispatched)


@pytest.mark.skipif(sklearn.__version__ < "1.7", reason="1.6's own StandardScaler refuses arrays of array-api-strict")
def test_scikit_learns_tools_under_dispatch(tmp_path: Path) -> None:
    found = outcomes(tmp_path, str(HERE / "test_tools.py"), "-k", "dispatch", SCIPY_ARRAY_API="1")
    assert "passed" in found.values() and "failed" not in found.values(), found
