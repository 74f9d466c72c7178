"""Real spherical harmonics of unit vectors, up to any degree."""

import math

import numpy as np


def spherical_harmonics(directions, max_degree):
    """Evaluate orthonormal real spherical harmonics.

    Parameters
    ----------
    directions : ndarray of shape (n_vectors, 3)
        Unit vectors.
    max_degree : int
        Largest degree l.

    Returns
    -------
    ndarray of shape (n_vectors, (max_degree + 1)²)
        Degree l has the columns l² to (l + 1)², in order of m = −l … l.

    Notes
    -----
    With (x + iy)ᵐ in place of sinᵐθ·eⁱᵐᵠ, what is left of the associated Legendre functions is a
    polynomial in z, which follows from its two predecessors in l; neither step divides by sin θ.
    """
    x, y, z = directions.T
    values = np.empty((len(directions), (max_degree + 1) ** 2))
    around = np.ones(len(directions), dtype=complex)
    diagonal = 1.0
    for m in range(max_degree + 1):
        before, along = np.zeros(len(directions)), np.full(len(directions), diagonal)
        for degree in range(m, max_degree + 1):
            ratio = math.factorial(degree - m) / math.factorial(degree + m)
            norm = math.sqrt((2 * degree + 1) / (4 * math.pi) * ratio * (2 if m else 1))
            middle = degree * (degree + 1)
            values[:, middle + m] = norm * along * around.real
            if m:
                values[:, middle - m] = norm * along * around.imag
            following = (2 * degree + 1) * z * along - (degree + m) * before
            before, along = along, following / (degree + 1 - m)
        around = around * (x + 1j * y)
        diagonal *= 2 * m + 1
    return values
