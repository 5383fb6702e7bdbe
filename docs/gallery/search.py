"""
A search as a picture
=====================

`StackedSearchCV` trains all candidates of a grid, in all folds, side by side on the threads of one process. Here: the
learning rate against the number of hidden units, on 600 of the handwritten digits.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from mlpcore.sklearn import MLPClassifier, StackedSearchCV

warnings.simplefilter("ignore")  # few epochs: scikit-learn's ConvergenceWarning says so
X, y = load_digits(return_X_y=True)
X, y = X[:600] / 16, y[:600]

rates = [0.001, 0.003, 0.01, 0.03, 0.1]
widths = [4, 8, 16, 32]
grid = {"learning_rate_init": rates, "hidden_layer_sizes": [(width,) for width in widths]}
search = StackedSearchCV(MLPClassifier(max_iter=12, batch_size=32, random_state=0), grid, cv=3).fit(X, y)

# %%
# ``cv_results_`` has a row for every candidate, in the order of the grid: widths outermost, as names are sorted.

scores = search.cv_results_["mean_test_score"].reshape(len(widths), len(rates))
assert search.cv_results_["params"][1] == {"hidden_layer_sizes": (4,), "learning_rate_init": 0.003}

fig, axis = plt.subplots(figsize=(7.5, 4.5), layout="constrained")
image = axis.imshow(scores, cmap="viridis", aspect="auto")
for (row, column), score in np.ndenumerate(scores):
    best = (row, column) == np.unravel_index(scores.argmax(), scores.shape)
    colour = "black" if score > (scores.min() + scores.max()) / 2 else "white"
    axis.text(column, row, f"{score:.2f}", ha="center", va="center", color=colour, weight="bold" if best else None)
axis.set_xticks(range(len(rates)), rates)
axis.set_yticks(range(len(widths)), widths)
axis.set(xlabel="learning rate", ylabel="hidden units", title="Accuracy in three folds, after 12 epochs")
fig.colorbar(image, label="mean accuracy")
plt.show()
