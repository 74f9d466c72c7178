"""Real spherical harmonics of unit vectors in plain arithmetic, for numpy arrays and tensors."""

import math


def real_spherical_harmonics(x, y, z, max_degree):
    """Harmonics up to a degree times √(4π), degree by degree, orders from −l to l.

    With Re and Im of (x + iy)ᵐ in place of sinᵐθ·cos mφ and sinᵐθ·sin mφ, what is left of the
    associated Legendre functions is a polynomial in z, which follows from its two predecessors in
    l; neither step divides by sin θ.
    """
    columns = [x * 0 + 1] * (max_degree + 1) ** 2
    cosine, sine, start = x, y, 1.0
    for m in range(max_degree + 1):
        before, along = 0.0, start
        for degree in range(m, max_degree + 1):
            ratio = math.factorial(degree - m) / math.factorial(degree + m)
            norm = math.sqrt((2 * degree + 1) * ratio * (2 if m else 1))
            middle = degree * (degree + 1)
            if m:
                scaled = norm * along
                columns[middle + m], columns[middle - m] = scaled * cosine, scaled * sine
            elif degree:
                columns[middle] = norm * along
            following = (2 * degree + 1) / (degree + 1 - m) * z * along
            if degree > m:
                following = following - (degree + m) / (degree + 1 - m) * before
            before, along = along, following
        if m:
            cosine, sine = x * cosine - y * sine, x * sine + y * cosine
        start *= 2 * m + 1
    return columns
