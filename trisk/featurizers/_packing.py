"""How well unlike spheres pack around each other."""

import numpy as np

from trisk.featurizers._segments import row_mean

# Radius of a sphere, in units of its neighbours', around which 3, 4, ... 24 of them just fit.
_IDEAL_RATIOS = np.array(
    [
        0.154701, 0.224745, 0.361654, 0.414214, 0.518145, 0.616517, 0.709914, 0.798907,
        0.884003, 0.902113, 0.976006, 1.04733, 1.11632, 1.18318, 1.2481, 1.31123, 1.37271,
        1.43267, 1.49119, 1.5484, 1.60436, 1.65915,
    ]
)  # fmt: skip


def mean_packing_efficiency(table, radius):
    """Mean atomic packing efficiency if every atom's neighbours have the mean radius.

    Parameters
    ----------
    table : CompositionTable
        Parsed compositions.
    radius : ndarray of shape (n_entries,)
        Atomic radii.

    Returns
    -------
    ndarray of shape (n_rows,)
        0 is ideal packing, positive is too loose.

    References
    ----------
    K. J. Laws, D. B. Miracle, M. Ferry, Nature Communications 6 (2015) 8123.
    """
    ratio = radius / row_mean(table, radius)[table.rows]
    efficiency = 1 - _IDEAL_RATIOS / ratio[:, None]
    best = np.argmin(np.abs(efficiency), axis=1)
    return row_mean(table, efficiency[np.arange(len(ratio)), best])
