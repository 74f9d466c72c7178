"""Decision trees of scikit-learn as plain arrays, and back, with every link checked."""

import numpy as np

_FIELDS = (
    "left_child",
    "right_child",
    "feature",
    "threshold",
    "impurity",
    "n_node_samples",
    "weighted_n_node_samples",
    "missing_go_to_left",
)


def tree_to_arrays(tree):
    """Take a tree apart.

    Parameters
    ----------
    tree : sklearn.tree._tree.Tree
        The fitted structure, ``estimator.tree_``.

    Returns
    -------
    arrays : dict of str to ndarray
        Node fields, values, and the shape of the problem.
    """
    _, (n_features, n_classes, n_outputs), state = tree.__reduce__()
    fields = {name: state["nodes"][name] for name in _FIELDS}
    # No tree has two billion nodes; half the size counts where there are hundreds of trees.
    fields = {k: v.astype(np.int32) if v.dtype == np.int64 else v for k, v in fields.items()}
    return {
        **fields,
        "values": state["values"],
        "shape": np.array([n_features, n_outputs, state["max_depth"]]),
        "n_classes": np.asarray(n_classes),
    }


def tree_from_arrays(arrays):
    """Put a tree together again.

    Prediction follows the links of a tree without looking, so a forged one could make it read
    foreign memory: all links are checked.

    Parameters
    ----------
    arrays : dict of str to ndarray
        As :func:`tree_to_arrays` gives them.

    Returns
    -------
    tree : sklearn.tree._tree.Tree
        The structure.

    Raises
    ------
    ValueError
        If the arrays do not describe a tree.
    """
    from sklearn.tree._tree import NODE_DTYPE, Tree

    n_features, n_outputs, max_depth = arrays["shape"].tolist()
    n_classes = arrays["n_classes"].astype(np.intp)
    nodes = np.zeros(len(arrays["left_child"]), dtype=NODE_DTYPE)
    for name in _FIELDS:
        nodes[name] = arrays[name]
    values = np.ascontiguousarray(arrays["values"], dtype=np.float64)
    if n_classes.shape != (n_outputs,) or values.shape != (len(nodes), n_outputs, n_classes.max()):
        raise ValueError("the values of a decision tree do not fit its nodes")
    _check_links(nodes, n_features)
    tree = Tree(n_features, n_classes, n_outputs)
    tree.__setstate__(
        {"max_depth": max_depth, "node_count": len(nodes), "nodes": nodes, "values": values}
    )
    return tree


def _check_links(nodes, n_features):
    """Every inner node asks for a column that exists and leads to later nodes that exist."""
    inner = nodes[nodes["left_child"] != -1]
    number = np.flatnonzero(nodes["left_child"] != -1)
    # Where children come after their parent, no path can return.
    linked = all(
        ((number < inner[child]) & (inner[child] < len(nodes))).all()
        for child in ("left_child", "right_child")
    )
    known = ((inner["feature"] >= 0) & (inner["feature"] < n_features)).all()
    if not (len(nodes) and linked and known):
        raise ValueError("the nodes of a decision tree are not linked to a tree")


def check_trees(model):
    """Make sure that trees look at the columns, and give the outputs, that their model counts.

    Parameters
    ----------
    model : estimator
        A decision tree or a forest of them.

    Raises
    ------
    ValueError
        If they do not.
    """
    for part in [model] if hasattr(model, "tree_") else model.estimators_:
        counts = (part.tree_.n_features, part.tree_.n_outputs)
        if counts != (model.n_features_in_, model.n_outputs_):
            raise ValueError("a decision tree does not fit its forest")
