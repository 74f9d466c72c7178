"""Networks of numeric tables: validated and trained together, and asked, whatever they compute."""

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from trisk.estimators._base import BaseMemberEstimator
from trisk.estimators._prediction import MemberClassifierMixin, MemberRegressorMixin
from trisk.estimators._preprocessing import TargetScaler, merge_duplicates
from trisk.estimators.tables._batches import MemberBatches
from trisk.estimators.tables._together import fit_together
from trisk.nn import BatchInvariance

# Largest number of activations held at once while predicting.
_PREDICTION_ELEMENTS = 8_000_000


class BaseTableNetwork(BaseMemberEstimator):
    """Table in, columns to a network.

    Fitting is in three parts so that several estimators can be trained together: prepare each,
    train all, hand out the parts. A subclass says in ``_fit_table`` how the columns of distinct
    rows become a training set, and in ``_encode`` how a table becomes columns.
    """

    _batches_class = MemberBatches
    #: Parameters in which the networks of one batch may differ. Those that stay together with
    #: equal settings, such as folds, have copies of one list of callbacks.
    _own_parameters = frozenset(
        {
            "aggregation",
            "calibrate",
            "callbacks",
            "class_weight",
            "companion",
            "dropout",
            "frequency_scale",
            "learning_rate",
            "loss",
            "n_neighbors",
            "random_state",
            "scaling",
            "verbose",
            "weight_decay",
        }
    )

    def fit(self, X, y, sample_weight=None):
        """Fit the ensemble.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Any numeric table. Named columns (a DataFrame) let the network find the property
            tokens and the context.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights. A weight of two is the same as giving a row twice.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            On missing or infinite values, too few rows, one class only, or weights that are all
            zero.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the estimator is then fitted with the weights reached so far.
        """
        return fit_together([(self, X, y, sample_weight)])[0]

    @property
    def trains_with_others(self):
        """Whether nothing that happens to one network ends the training of all."""
        return self.callbacks is None and self.patience is None

    def _settings_of_batch(self):
        """What a network must share with the others of its batch, besides its shape."""
        own = self._own_parameters
        shared = {k: v for k, v in self.get_params(deep=False).items() if k not in own}
        return f"{type(self).__name__} {shared}"

    def _prepare(self, X, y, sample_weight):
        """Validate and scale; return the training set and the module's parameters."""
        raise NotImplementedError

    def _fit_table(self, X, target, weight, y, loss):
        """Measure the columns of distinct rows; return the training set with its network."""
        raise NotImplementedError

    def _check_table(self, X):
        """Refuse finite numbers that are no input; rows stand as the user gave them."""

    def _encode(self, X):
        """Columns as the network wants them."""
        raise NotImplementedError

    def _member_outputs(self, X):
        """Raw outputs in double precision, a dictionary of arrays with members first."""
        check_is_fitted(self)
        table = self._encode(X)
        module = self.net_.module_
        device = next(module.parameters()).device
        width = max(table.shape[1] * 32, 2048) * module.n_members
        n_rows = max(1, _PREDICTION_ELEMENTS // width)
        chunks = []
        with torch.inference_mode(), BatchInvariance():
            for start in range(0, len(table), n_rows):
                rows = torch.from_numpy(table[start : start + n_rows]).to(device, torch.float64)
                chunks.append(module(rows.expand(module.n_members, *rows.shape)))
        return {
            name: torch.cat([c[name] for c in chunks], dim=2 if name == "steps" else 1)
            .cpu()
            .numpy()
            for name in ("steps", "answer")
        }


class TableRegressorMixin(MemberRegressorMixin):
    """One or more numbers as target, standardised."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _prepare(self, X, y, sample_weight):
        self._validate_params()
        X, y = validate_data(
            self,
            X,
            y,
            dtype=np.float64,
            y_numeric=True,
            multi_output=True,
            ensure_min_samples=2,
        )
        self._check_table(X)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self.single_target_ = y.ndim == 1
        target = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        X, target, weight = merge_duplicates(X, target, weight)
        self.target_scaler_ = TargetScaler.fit(target, weight)
        scaled = self.target_scaler_.transform(target)
        y = target[:, 0] if self.single_target_ else target
        return self._fit_table(X, scaled, weight, y, self.loss)


class TableClassifierMixin(MemberClassifierMixin):
    """Labels as target, rows weighted by their class."""

    def _prepare(self, X, y, sample_weight):
        self._validate_params()
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self._check_table(X)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in y, but all have "
                f"the class {self.classes_.tolist()[0]!r}."
            )
        of_class = compute_class_weight(
            self.class_weight, classes=self.classes_, y=y, sample_weight=weight
        )
        weight = weight * of_class[labels]
        X, labels, weight = merge_duplicates(X, labels[:, None], weight)
        labels = labels[:, 0].astype(np.intp)
        target = np.eye(len(self.classes_))[labels]
        return self._fit_table(X, target, weight, self.classes_[labels], "cross_entropy")


def trains_together(estimator):
    """Whether several estimators of a kind can be trained as one batched network.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    together : bool
        True for those that :func:`~trisk.estimators.tables._together.fit_together` takes.
    """
    return isinstance(estimator, BaseTableNetwork)
