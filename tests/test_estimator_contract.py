"""scikit-learn's contract of an estimator: its own checks. `test_estimator_suites` runs this file under dispatch too."""

import pytest

sklearn = pytest.importorskip("sklearn", reason="the extra `sklearn` brings scikit-learn")

from sklearn.utils.estimator_checks import (  # noqa: E402
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

import mlpcore as mc  # noqa: E402
from mlpcore.sklearn import MLPClassifier, MLPRegressor  # noqa: E402

ESTIMATORS = [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)]
# As scikit-learn's own list has its MLPs for the equality of weights and repetitions.
EASED = [MLPClassifier(solver="lbfgs"), MLPRegressor(solver="sgd", tol=1e-2, random_state=42)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_checks(estimator, check):
    if "cupy" in repr(check) and not mc.available_backends()["cupy"].startswith("ready"):
        pytest.skip(f"CuPy cannot run here: {mc.available_backends()['cupy']}")
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", EASED)
def test_weights_are_repetitions(estimator):
    check_sample_weight_equivalence_on_dense_data(type(estimator).__name__, estimator)
