"""
Intervals that hold
===================

Conformal prediction with MAPIE around a network that is stacked with trees: intervals are
conformed on rows kept aside, and hold in the chosen share of new rows. Needs
``pip install trisk[intervals]``; a minute.
"""

import numpy as np
import pandas as pd
from mapie.regression import SplitConformalRegressor
from matplotlib import pyplot as plt
from sklearn.model_selection import train_test_split

from trisk import HybridTRIADSRegressor, MagpieFeaturizer, load_band_gaps

formulas, gaps = load_band_gaps()
# MAPIE passes on arrays without column names.
table = MagpieFeaturizer().fit_transform(formulas).to_numpy()
X, X_test, y, y_test = train_test_split(table, gaps, test_size=0.25, random_state=0)
X_train, X_conform, y_train, y_conform = train_test_split(X, y, test_size=0.3, random_state=0)

model = HybridTRIADSRegressor(
    stack_with="extra_trees", calibrate=True, n_members=4, max_epochs=30, random_state=0
)
model.fit(X_train, y_train)
print(f"The trees' share in the prediction: {model.stacked_weight_:.0%}")

# %%
# Errors are divided by the predicted standard deviation, so that sure rows get short intervals.

levels = [0.8, 0.9]
mapie = SplitConformalRegressor(
    model, confidence_level=levels, conformity_score="std_normalized"
).conformalize(X_conform, y_conform)
center, ends = mapie.predict_interval(X_test)
for index, level in enumerate(levels):
    low, high = ends[:, 0, index], ends[:, 1, index]
    inside = ((low <= y_test) & (y_test <= high)).mean()
    print(f"{level:.0%} intervals hold {inside:.0%} of {len(y_test)} gaps; ", end="")
    print(f"mean width {(high - low).mean():.2f} eV")

# %%
# The 90 % intervals, rows in order of the prediction.

order = np.argsort(center)
low, high = ends[order, 0, 1], ends[order, 1, 1]
fig, ax = plt.subplots(figsize=(7, 4))
ax.fill_between(range(len(order)), low, high, alpha=0.3, label="90 % interval", linewidth=0)
ax.plot(center[order], label="predicted")
ax.plot(y_test.to_numpy()[order], ".", color="black", markersize=4, label="measured")
ax.set(xlabel="test rows", ylabel="band gap (eV)")
ax.legend(frameon=False)
plt.show()

# %%

shown = pd.DataFrame(
    {"measured": y_test, "predicted": center, "from": ends[:, 0, 1], "to": ends[:, 1, 1]}
)
shown.insert(0, "formula", formulas[y_test.index])
print(shown[:8].round(2).to_string(index=False))
