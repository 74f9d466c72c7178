"""
Band gaps from formulas
=======================

Five folds of HybridTRIADS and of a forest on the measured band gaps that ship with trisk, with the
same columns; then a model on all rows, saved, loaded, and asked for alloys outside the table.

``python examples/band_gaps.py demo``, which ``make demo`` runs, writes tables, plot and model to
the folder ``demo``. Two minutes on two cores.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.pipeline import make_pipeline

import trisk
from trisk import CompositionFeaturizer, HybridTRIADSRegressor, ParityDisplay

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
folder.mkdir(parents=True, exist_ok=True)

X, y = trisk.load_band_gaps()
print(f"{len(X)} measured band gaps from 0 to {y.max():g} eV; {(y == 0).sum()} are metals.")

# %%
# Network and forest see the same columns: Magpie statistics alone, and with those of an encoder
# that learned calculated gaps of 96 % of these formulas, but no measured one.

network = HybridTRIADSRegressor(n_members=4, random_state=0)
forest = ExtraTreesRegressor(300, n_jobs=-1, random_state=0)
columns = {
    "": CompositionFeaturizer(blocks=["magpie"]),
    ", pre-trained columns": CompositionFeaturizer(blocks=["magpie", "pretrained"]),
}
models = {
    f"{name}{suffix}": make_pipeline(features, model)
    for suffix, features in columns.items()
    for name, model in (("HybridTRIADS", network), ("ExtraTrees", forest))
}

# %%
# Every row is predicted by a model that has not seen it. All folds of the network train as one
# batch.

results = {}
for name, model in models.items():
    print(f"{name}: five folds …", flush=True)
    results[name] = trisk.nested_cross_validate(model, X, y, verbose=0)

errors = pd.DataFrame({name: result.folds["mae"] for name, result in results.items()})
seconds = pd.Series({name: result.folds["fit_seconds"].sum() for name, result in results.items()})
spread = errors.std(ddof=0)  # of the five folds, as in all tables of trisk
table = pd.DataFrame({"mean of folds, eV": errors.mean(), "std of folds, eV": spread})
scores = table.assign(seconds=seconds).rename_axis("MAE").round(3)
print(scores.to_string())

# %%
# Differences fold by fold say more than the means: folds differ more than models do.

for suffix in columns:
    gap = errors[f"HybridTRIADS{suffix}"] - errors[f"ExtraTrees{suffix}"]
    print(
        f"HybridTRIADS{suffix} minus ExtraTrees{suffix}: {gap.mean():+.3f} ± "
        f"{gap.std(ddof=0):.3f} eV; better in {(gap < 0).sum()} of {len(gap)} folds."
    )

# %%
# Predicted against measured gaps of both models with pre-trained columns.

ax = None
for name in ("HybridTRIADS, pre-trained columns", "ExtraTrees, pre-trained columns"):
    held_out = results[name].predictions.loc[X.index]
    display = ParityDisplay.from_predictions(
        y, held_out["y_pred"], folds=held_out["fold"], name=name, ax=ax
    )
    ax = display.ax_

# %%
# A model on all rows goes into a file that holds no code. ``calibrate=True`` scales the spread of
# its members to their errors on rows that inner fits leave out.

model = models["HybridTRIADS, pre-trained columns"]
model.set_params(hybridtriadsregressor__calibrate=True).fit(X, y)
trisk.save(model, folder / "band_gaps.trisk")
loaded = trisk.load(folder / "band_gaps.trisk")
same = np.allclose(loaded.predict(X), model.predict(X))
print(f"The loaded model predicts the same: {same}.")

# %%
# Alloys that the table does not hold, with their gaps at room temperature (eV), rounded: III-V
# alloys after Vurgaftman 2001, HgCdTe after Hansen 1982, CdSSe by its usual bowing. A little
# nitrogen narrows GaAs although GaN is wider, which nothing in the table says.

new = pd.Series(
    {
        "Al0.3Ga0.7As": 1.80,
        "In0.53Ga0.47As": 0.74,
        "Ga0.51In0.49P": 1.90,
        "GaAs0.98N0.02": 1.15,
        "CdS0.5Se0.5": 2.0,
        "Hg0.8Cd0.2Te": 0.15,
    },
    name="measured",
)
predicted, std = loaded.predict(new.index, return_std=True)
table = new.to_frame().assign(predicted=predicted, std=std)
print(table.round(2).to_string())

# %%
# What the folder holds.

scores.to_csv(folder / "scores.csv")
pd.DataFrame(
    {name: result.predictions["y_pred"] for name, result in results.items()}, index=X.index
).assign(formula=X, measured=y).to_csv(folder / "predictions.csv", index=False)
display.figure_.savefig(folder / "parity.png", dpi=150, bbox_inches="tight")
print(sorted(path.name for path in folder.iterdir()))
