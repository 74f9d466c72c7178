"""Models of other packages with their defaults, by name."""

from benchmarks.runner import Model


def _lightgbm(classification):
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMClassifier if classification else LGBMRegressor)(random_state=0, verbose=-1)


def _catboost(classification):
    from catboost import CatBoostClassifier, CatBoostRegressor

    settings = {"random_seed": 0, "verbose": False, "allow_writing_files": False}
    return (CatBoostClassifier if classification else CatBoostRegressor)(**settings)


def _pytabkit(name):
    def make(classification):
        import pytabkit

        kind = "Classifier" if classification else "Regressor"
        return getattr(pytabkit, f"{name}_{kind}")(random_state=0, verbosity=0, n_threads=1)

    return make


def forest(name, *, classification=False, **parameters):
    """An untuned forest of scikit-learn."""
    from sklearn import ensemble

    made = getattr(ensemble, f"{name}{'Classifier' if classification else 'Regressor'}")
    return made(**{"n_estimators": 300, "random_state": 0, **parameters})


#: Name → what makes the model, whether it classifies or not, and the packages it needs.
PACKAGES = {
    "LightGBM": (_lightgbm, ("lightgbm",)),
    "CatBoost": (_catboost, ("catboost",)),
    "RealMLP": (_pytabkit("RealMLP_TD"), ("pytabkit",)),
    "TabM": (_pytabkit("TabM_D"), ("pytabkit",)),
    "xRFM": (_pytabkit("XRFM_D"), ("pytabkit", "xrfm")),
}


def peers(columns, is_classification):
    """Models of all packages behind the columns of a task, which a function of the task gives."""
    from sklearn.pipeline import make_pipeline

    def behind(make):
        return lambda task: make_pipeline(columns(task), make(is_classification(task)))

    return {name: Model(behind(make), needs=needs) for name, (make, needs) in PACKAGES.items()}
