"""What scikit-learn is told of estimators whose rows are structures."""

from sklearn.base import BaseEstimator


class StructureInputMixin(BaseEstimator):
    """Rows are structures or their graphs, not rows of a matrix."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags
