"""
What the spread of an ensemble tells
====================================

Band gaps are predicted by networks that never saw them, with ``return_std=True``. The spread of the
members, as it is and calibrated on inner folds, is compared with the error that was really made.
A minute or two.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline

import trisk
from trisk import CalibrationDisplay, HybridTRIADSRegressor, MagpieFeaturizer

X, y = trisk.load_band_gaps()
network = HybridTRIADSRegressor(calibrate=True, n_members=4, max_epochs=30, random_state=0)
model = make_pipeline(MagpieFeaturizer(), network)
results = trisk.nested_cross_validate(model, X, y, verbose=0)

table = results.predictions.rename(columns={"y_true": "measured", "y_pred": "predicted"})
table["error"] = (table["predicted"] - table["measured"]).abs()
# What calibration did can be undone: std² = (factor · spread)² + floor².
for fold, fitted in enumerate(results.estimators):
    factor, floor = fitted[-1].spread_scale_
    std = table.loc[table["fold"] == fold, "y_std"]
    table.loc[std.index, "spread"] = np.sqrt(np.maximum(std**2 - floor**2, 0)) / factor

# %%
# Rows in five equal groups by their spread: where members disagree, errors are larger.

quintile = pd.qcut(table["spread"], 5, labels=["smallest", "small", "middle", "large", "largest"])
groups = table.groupby(quintile, observed=True)[["spread", "error"]].mean()
print(groups.rename_axis("by spread, means in eV").round(2).to_string())
print(f"rank correlation {table['spread'].corr(table['error'], method='spearman'):.2f}")

# %%
# As an error bar the spread is too small: members agree on what the data cannot tell them. The
# calibrated standard deviation should hold some 95 % of the errors within twice its size.

for column in ("spread", "y_std"):
    print(f"errors within twice the {column}: {(table['error'] <= 2 * table[column]).mean():.0%}")

CalibrationDisplay.from_predictions(
    table["measured"], table["predicted"], table["y_std"], unit="eV"
)
plt.show()

# %%
# The least certain predictions.

table.insert(0, "formula", X)
print(table.nlargest(5, "y_std").round(2).to_string(index=False))
