"""TabularRegressor: amounts from tables as they are."""

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.validation import column_or_1d

from mlpcore.scores import r2
from mlpcore.tabular.base import BaseTabular
from mlpcore.tabular.residuals import kept, with_quantiles


class TabularRegressor(RegressorMixin, BaseTabular):
    """A regressor for tables as they are. Arguments and attributes are those of `TabularClassifier`.

    y is (n,) or (n, outputs), of any size: ``members_`` learn and predict it less its mean, in units of its standard
    deviation. A recipe ``RealMLP(clamp=True)`` keeps predictions in the range of the training targets.
    """

    def predict(self, X: Any, quantiles: Any = None) -> np.ndarray:
        """The predictions (n,) or (n, outputs).

        With ``quantiles``, a list of q levels between 0 and 1, the quantiles (n, q) or (n, outputs, q): the prediction
        plus the quantile of the residuals ``y - prediction`` on the held-out rows, each by the member that has not
        learnt the row. The residuals are taken to have the same distribution for every row. As the same rows have
        chosen the epoch, they are a little too small. Of more than 10,001 held-out rows, the quantiles 0, 0.0001,
        0.0002, ..., 1 are kept, and those between are interpolated.
        """
        prediction = self._predictions(X)
        if quantiles is not None:
            prediction = with_quantiles(prediction, self._residuals, quantiles)
        return prediction[:, 0] if self._one_column else prediction

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R2, weighted by ``sample_weight`` (n,); the mean over the outputs."""
        return r2(y, self.predict(X), sample_weight)

    def _calibrate(self, members: Any, divided: Any) -> None:
        assert self._scaling is not None, "set in fit"
        residuals = [
            self._scaling.scale * (known.target - member.model.predict(known.x))
            for member, (_, held_out) in zip(members, divided, strict=True)
            if held_out is not None and (known := held_out.weighted())
        ]
        self._residuals = kept(np.concatenate(residuals)) if residuals else None

    def _target(self, y: Any, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        target = check_array(y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y")
        if target.ndim == 2 and target.shape[1] == 1:
            target = column_or_1d(target, warn=True)
        if reset:
            self._one_column = target.ndim == 1
        target = target[:, None] if target.ndim == 1 else target
        known = np.flatnonzero(~np.isnan(target).any(axis=1))
        return target[known], known

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
