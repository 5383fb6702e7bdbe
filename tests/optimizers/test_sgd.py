"""SGD: momentum on the velocity and on the gradient."""

import numpy as np
import pytest
from updates import draws, train

from mlpcore.errors import ConfigurationError
from mlpcore.optimizers import SGD


def test_the_second_update_with_momentum_by_hand():
    gradients, rates = np.array([[2.0], [3.0]]), (0.1, 0.01)
    late, _ = train(SGD(0.1, momentum=0.5), np.zeros(1), gradients, rates)
    early, _ = train(SGD(0.1, momentum=0.5, rate_on="gradient"), np.zeros(1), gradients, rates)
    assert late[0] == pytest.approx(-0.1 * 2 - 0.01 * (0.5 * 2 + 3))
    assert early[0] == pytest.approx(-0.1 * 2 - (0.5 * 0.1 * 2 + 0.01 * 3))


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_two_forms_of_momentum_are_one_while_the_rate_is_constant(nesterov):
    forms = [SGD(0.1, momentum=0.9, nesterov=nesterov, rate_on=form) for form in ("velocity", "gradient")]
    (one, _), (two, _) = (train(form, draws(5), draws(20, 5, seed=1), [0.1] * 20) for form in forms)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-14)


def test_nesterov_needs_momentum():
    with pytest.raises(ConfigurationError, match="momentum above 0"):
        SGD(0.1, nesterov=True)
    assert SGD(0.1, momentum=1.0, nesterov=True).momentum == 1.0
