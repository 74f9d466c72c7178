"""From the outputs of members to predictions, for regressors and classifiers alike."""

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin


def members_last(values):
    """Put members, the first axis, last and side by side in memory.

    NumPy adds up numbers that lie side by side in another order than those that do not, and a
    single row's would: so laid out, a mean over members is the same bits for any number of rows.

    Parameters
    ----------
    values : ndarray of shape (n_members, ...)
        Answers.

    Returns
    -------
    ndarray of shape (..., n_members)
        The same.
    """
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def mean_probabilities(outputs):
    """Average the probabilities of members.

    Parameters
    ----------
    outputs : ndarray of shape (n_members, n_samples, n_classes)
        Logits.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Probabilities.
    """
    shifted = np.exp(outputs - outputs.max(-1, keepdims=True))
    return members_last(shifted / shifted.sum(-1, keepdims=True)).mean(axis=-1)


class MemberRegressorMixin(RegressorMixin):
    """Members' answers, averaged in the unit of the target."""

    def _aggregate(self, outputs):
        """Combine members: arrays with members first → centre and spread, in the target's unit."""
        predictions = self.target_scaler_.inverse_transform(outputs)
        if self.single_target_:
            predictions = predictions[..., 0]
        predictions = members_last(predictions)
        combine = np.median if self.aggregation == "median" else np.mean
        return combine(predictions, axis=-1), predictions.std(axis=-1)

    def predict(self, X, return_std=False):
        """Predict the target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Samples of the kind seen in `fit`.
        return_std : bool, default=False
            Whether to return the standard deviation over members too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction, in the unit of the target.
        y_std : ndarray of the same shape
            Spread of the members, only with `return_std`.
        """
        center, spread = self._aggregate(self._member_outputs(X)["answer"])
        return (center, spread) if return_std else center

    def staged_predict(self, X):
        """Predict after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Samples of the kind seen in `fit`.

        Yields
        ------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Prediction after steps 1, 2, …
        """
        steps = self._member_outputs(X)["steps"]
        for step in range(steps.shape[1]):
            yield self._aggregate(steps[:, step])[0]


class MemberClassifierMixin(ClassifierMixin):
    """Members' probabilities, averaged."""

    def _labels(self, probabilities):
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X):
        """Predict class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Samples of the kind seen in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return mean_probabilities(self._member_outputs(X)["answer"])

    def predict(self, X):
        """Predict the most probable class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Samples of the kind seen in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Labels.
        """
        return self._labels(self.predict_proba(X))

    def staged_predict_proba(self, X):
        """Predict class probabilities after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Samples of the kind seen in `fit`.

        Yields
        ------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities after steps 1, 2, …
        """
        steps = self._member_outputs(X)["steps"]
        for step in range(steps.shape[1]):
            yield mean_probabilities(steps[:, step])

    def staged_predict(self, X):
        """Predict the most probable class after each recursion step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or CrystalGraphs of shape (n_samples,)
            Samples of the kind seen in `fit`.

        Yields
        ------
        y : ndarray of shape (n_samples,)
            Labels after steps 1, 2, …
        """
        for probabilities in self.staged_predict_proba(X):
            yield self._labels(probabilities)
