"""SoftmaxCrossEntropy where the network is sure of the right label."""

import numpy as np
import pytest

from mlpcore.losses import SoftmaxCrossEntropy


@pytest.mark.parametrize("rows", [1, 20])
def test_a_sure_and_right_label_keeps_its_digits(rows: int) -> None:
    z = np.tile(np.asarray([0.0, 50.0, 0.0]), (rows, 1))
    value, dz = SoftmaxCrossEntropy().value_and_grad(z, np.ones(rows, "int32"), np.ones(rows))
    tiny = np.exp(-50.0)
    np.testing.assert_allclose(value, 2 * rows * tiny, rtol=1e-14)
    np.testing.assert_allclose(dz, np.tile([tiny, -2 * tiny, tiny], (rows, 1)), rtol=1e-14)
