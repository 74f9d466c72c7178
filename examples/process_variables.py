"""
Formulas beside process variables
=================================

A property of a material depends on how it was made. A table holds a formula and two process
variables per row; a ``ColumnTransformer`` gives the formula to a featurizer and passes the numbers
on, and scikit-learn's ``GridSearchCV`` chooses settings of the network.

The data are **synthetic**: a made-up rule gives the hardness of aged aluminium alloys, with noise.
They stand in for a table of your own and say nothing about real alloys. Less than a minute.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.compose import ColumnTransformer
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from trisk import HybridTRIADSRegressor, ParityDisplay
from trisk.featurizers import ElementFractionFeaturizer

rng = np.random.default_rng(0)
n_rows = 240
cu, mg = rng.uniform(0.005, 0.05, n_rows), rng.uniform(0.0, 0.03, n_rows)
temperature, log_hours = rng.uniform(100, 260, n_rows), rng.uniform(-1, 2, n_rows)
# The hotter, the sooner the (made-up) peak of hardness comes.
lateness = log_hours - (180 - temperature) / 40
hardness = 40 + 1500 * (cu + 0.5 * mg) * np.exp(-np.square(lateness)) + rng.normal(0, 2, n_rows)

table = pd.DataFrame(
    {
        "formula": [f"Al{1 - c - m:.4f}Cu{c:.4f}Mg{m:.4f}" for c, m in zip(cu, mg, strict=True)],
        "temperature, °C": temperature,
        "time, log10 h": log_hours,
    }
)
y = pd.Series(hardness, name="hardness")
y.attrs = {"quantity": "synthetic hardness", "unit": "HV"}
print(table.head(3).to_string(index=False))

# %%
# Columns by kind, the network on top.

features = ColumnTransformer(
    [
        ("fractions", ElementFractionFeaturizer(), "formula"),
        ("process", "passthrough", ["temperature, °C", "time, log10 h"]),
    ],
    verbose_feature_names_out=False,
).set_output(transform="pandas")
model = make_pipeline(features, HybridTRIADSRegressor(max_epochs=40, random_state=0))
model  # noqa: B018 - shows the parts as a drawing

# %%
# A grid over two settings, judged on three folds of the training rows; the test rows wait.

X_train, X_test, y_train, y_test = train_test_split(table, y, random_state=0)
grid = {
    "hybridtriadsregressor__n_members": [2, 4],
    "hybridtriadsregressor__learning_rate": [1e-3, 3e-3],
}
search = GridSearchCV(model, grid, cv=3, scoring="neg_mean_absolute_error")
search.fit(X_train, y_train)
found = pd.DataFrame(search.cv_results_)[["param_" + name for name in grid]]
print(found.assign(mae=-search.cv_results_["mean_test_score"]).round(3).to_string(index=False))

# %%
# The best of them on the rows that were kept.

predicted = search.predict(X_test)
guess = mean_absolute_error(y_test, np.full(len(y_test), y_train.median()))
print(f"MAE on {len(y_test)} rows: {mean_absolute_error(y_test, predicted):.2f} HV.")
print(f"Guessing the median gives {guess:.2f} HV, the noise alone 1.60 HV.")
ParityDisplay.from_predictions(y_test, predicted, name="best of the grid")
plt.show()
