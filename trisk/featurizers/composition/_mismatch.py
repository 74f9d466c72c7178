"""How unlike the atoms of an alloy are: mixing entropy, spreads of properties, packing."""

import numpy as np

from trisk.featurizers._segments import row_maximum, row_mean, row_minimum, row_pairs, row_sum

_GAS_CONSTANT = 8.314 / 1000  # kJ/(mol K), rounded as in matminer, to equal its values
# Radius of a sphere, in units of its neighbours', around which 3, 4, ... 24 of them just fit.
_IDEAL_RATIOS = np.array(
    [
        0.154701, 0.224745, 0.361654, 0.414214, 0.518145, 0.616517, 0.709914, 0.798907,
        0.884003, 0.902113, 0.976006, 1.04733, 1.11632, 1.18318, 1.2481, 1.31123, 1.37271,
        1.43267, 1.49119, 1.5484, 1.60436, 1.65915,
    ]
)  # fmt: skip


def mixing_entropy(table):
    """Ideal entropy of mixing R Σ f ln f, in kJ/(mol K); negative, as matminer gives it."""
    return _GAS_CONSTANT * row_sum(table, table.fractions * np.log(table.fractions))


def yang_omega(table, melting, enthalpy):
    """Yang's Ω; 0 for a single element."""
    omega = np.abs(row_mean(table, melting) * mixing_entropy(table) / enthalpy)
    return np.where(table.lengths == 1, 0.0, omega)


def _uniform(table, values):
    """Whether all values of a row are equal, so that it has no mismatch of them."""
    equal = row_maximum(table, values) == row_minimum(table, values)
    return equal | (table.lengths == 1)


def relative_spread(table, values):
    """Root mean square of 1 − v/v̄; exactly 0 where all values of a row are equal."""
    with np.errstate(invalid="ignore"):  # 0/0 where all are 0
        ratio = values / row_mean(table, values)[table.rows]
    spread = np.sqrt(row_mean(table, (1 - ratio) ** 2))
    return np.where(_uniform(table, values), 0.0, spread)


def pairwise_spread(table, values):
    """Σ_{i<j} fᵢ fⱼ |vᵢ − vⱼ|."""
    first, second, rows = row_pairs(table)
    weights = table.fractions[first] * table.fractions[second]
    spread = weights * np.abs(values[first] - values[second])
    return np.bincount(rows, weights=spread, minlength=table.n_rows)


def packing_angle_ratio(table, radius):
    """Ratio of the solid angles around the smallest and around the largest atom (γ)."""
    mean = row_mean(table, radius)

    def solid_angle(extreme):
        return 1 - np.sqrt((mean * extreme + extreme**2) / (mean + extreme) ** 2)

    return solid_angle(row_minimum(table, radius)) / solid_angle(row_maximum(table, radius))


def strengthening(table, shear):
    """Mismatch of shear moduli in the model of solid-solution strengthening."""
    mean = row_mean(table, shear)[table.rows]
    with np.errstate(invalid="ignore"):  # 0/0 where all are 0
        mismatch = 2 * table.fractions * (shear - mean) / (shear + mean)
    strength = row_sum(table, mismatch / (1 + 0.5 * np.abs(mismatch)))
    return np.where(_uniform(table, shear), 0.0, strength)


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
