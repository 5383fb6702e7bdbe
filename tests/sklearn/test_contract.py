"""scikit-learn's contract of an estimator: its own checks, which `test_suites` runs under dispatch too."""

import os

import pytest
from optional import optional

sklearn = optional("sklearn")

if sklearn.__version__ < "1.7" and os.environ.get("SCIPY_ARRAY_API") != "1":
    pytest.skip("the checks of 1.6 can be imported with SCIPY_ARRAY_API=1 only", allow_module_level=True)

from sklearn.utils.estimator_checks import (  # noqa: E402
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

ESTIMATORS = [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)]
ENSEMBLES = [MLPClassifier(max_iter=100, n_members=2), MLPRegressor(max_iter=100, n_members=2)]
# As scikit-learn's own list has its MLPs for the equality of weights and repetitions.
EASED = [MLPClassifier(solver="lbfgs"), MLPRegressor(solver="sgd", tol=1e-2, random_state=42)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_checks(estimator, check):
    run(estimator, check)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ENSEMBLES)
def test_checks_of_ensembles(estimator, check):
    run(estimator, check)


def run(estimator, check):
    if "cupy" in repr(check) and not mc.available_backends()["cupy"].startswith("ready"):
        pytest.skip(f"CuPy cannot run here: {mc.available_backends()['cupy']}")
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", EASED)
def test_weights_are_repetitions(estimator):
    check_sample_weight_equivalence_on_dense_data(type(estimator).__name__, estimator)
