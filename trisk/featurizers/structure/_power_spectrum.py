"""PowerSpectrumFeaturizer: distances and angles around the atoms of a crystal, elements aside."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy.sparse import csr_array

from trisk._compat import Interval
from trisk.featurizers.structure._base import StructureTableFeaturizer, bond_directions
from trisk.structures.graphs import scale_volumes
from trisk.structures.harmonics import real_spherical_harmonics


@dataclass(kw_only=True, repr=False, eq=False)
class PowerSpectrumFeaturizer(StructureTableFeaturizer):
    r"""Power spectrum of the neighbours around atoms, which does not see their elements.

    For every atom, products of radial functions of two neighbours' distances and a Legendre
    polynomial of the angle between them are summed over all pairs of neighbours within a smooth
    cutoff. Columns are the mean and the standard deviation of these sums over the atoms of the
    crystal. They do not change with rotation, inversion, choice of the cell, order of atoms, or an
    exchange of elements. Nothing is learned from the data.

    {Parameters}
    n_radial : int, default=8
        Number of radial functions, at most 64.
    max_degree : int, default=4
        Largest degree l of the Legendre polynomials, at most 32.
    volume_per_atom : float, default=None
        Every crystal is first scaled to this volume in Å³ per atom, so that crystals of one
        prototype resemble each other whatever the size of their atoms; 20 is usual for inorganic
        crystals, and 0.5 the least. None keeps the distances as they are.

    {Attributes}

    Notes
    -----
    With distances :math:`r_{ij}` and angles :math:`\theta_{jik}` at atom i,

    .. math::
        p_{i,nn'l} = \frac{1}{1 + \sum_j f(r_{ij})}
            \sum_{jk} g_n(r_{ij}) g_{n'}(r_{ik}) P_l(\cos\theta_{jik}),
        \quad g_n(r) = \sqrt{\frac{2}{r_c}} \frac{\sin(n \pi r / r_c)}{r} f(r),
        \quad f(r) = \tfrac12 + \tfrac12 \cos(\pi r / r_c),

    for n ≤ n' and l from 0 to `max_degree`. This is the power spectrum of [1]_ (equation 16) for
    sharp neighbours of one kind; the sum over pairs is taken as the scalar product of expansions
    in spherical harmonics. The radial functions are those of [2]_ and the cutoff f is that of
    [3]_; division by the number of neighbours keeps dense and sparse crystals comparable.

    References
    ----------
    .. [1] A. P. Bartók et al., Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115
    .. [2] J. Gasteiger, J. Groß, S. Günnemann, ICLR 2020. https://arxiv.org/abs/2003.03123
    .. [3] J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007).
       https://doi.org/10.1103/PhysRevLett.98.146401

    Examples
    --------
    Rock salt and caesium chloride have one environment each, diamond and zinc blende the same one:

    >>> import numpy as np
    >>> from ase.build import bulk
    >>> from trisk.featurizers import PowerSpectrumFeaturizer
    >>> crystals = [bulk("C"), bulk("ZnS", "zincblende", a=5.41), bulk("NaCl", "rocksalt", a=5.64)]
    >>> X = PowerSpectrumFeaturizer(volume_per_atom=20.0).fit_transform(crystals)
    >>> X.shape
    (3, 360)
    >>> diamond, zinc_blende, rock_salt = X.to_numpy()
    >>> bool(np.allclose(diamond, zinc_blende)), bool(np.allclose(diamond, rock_salt))
    (True, False)
    """

    n_radial: int = 8
    max_degree: int = 4
    volume_per_atom: float | None = None

    _parameter_constraints = {
        "n_radial": [Interval(Integral, 1, 64, closed="both")],
        "max_degree": [Interval(Integral, 0, 32, closed="both")],
        "volume_per_atom": [None, Interval(Real, 0.5, None, closed="left")],
    }

    def _n_periodic(self):
        return 0 if self.volume_per_atom is None else 3

    def _feature_names(self):
        n, other = np.triu_indices(self.n_radial)
        return [
            f"PowerSpectrum {statistic} l={degree} n={a + 1},{b + 1}"
            for statistic in ("mean", "std")
            for degree in range(self.max_degree + 1)
            for a, b in zip(n, other, strict=True)
        ]

    def _compute_chunk(self, atoms):
        if self.volume_per_atom is not None:
            atoms = scale_volumes(atoms, self.volume_per_atom)
        return super()._compute_chunk(atoms)

    def _compute(self, atoms, pairs):
        density = _expand(atoms, pairs, float(self.cutoff), self.n_radial, self.max_degree)
        upper = np.triu_indices(self.n_radial)
        spectra = []
        for degree in range(self.max_degree + 1):
            part = density[:, :, degree**2 : (degree + 1) ** 2]
            products = part @ part.transpose(0, 2, 1)
            spectra.append(products[:, *upper] / (2 * degree + 1))
        values = np.concatenate(spectra, axis=1)
        starts, counts = atoms.offsets["atom"][:-1], atoms.counts()[:, None]
        mean = np.add.reduceat(values, starts) / counts
        squares = (values - mean[atoms.rows()]) ** 2
        return np.hstack([mean, np.sqrt(np.add.reduceat(squares, starts) / counts)])


def _expand(atoms, pairs, cutoff, n_radial, max_degree):
    """Neighbours in radial functions and harmonics, shape (n_atoms, n_radial, n_harmonics)."""
    lengths = pairs.lengths
    weights = 0.5 + 0.5 * np.cos(np.pi * lengths / cutoff)
    neighbors = np.add.reduceat(weights, pairs.offsets[:-1])
    per_pair = np.sqrt(2 / cutoff) * weights / lengths / np.sqrt(1 + neighbors[pairs.centers])
    x, y, z = bond_directions(atoms, pairs).T
    harmonics = np.stack(real_spherical_harmonics(x, y, z, max_degree), axis=1)
    columns = np.arange(len(lengths))
    density = np.empty((len(neighbors), n_radial, harmonics.shape[1]))
    for n in range(n_radial):
        radial = per_pair * np.sin((n + 1) * np.pi * lengths / cutoff)
        rows = csr_array((radial, columns, pairs.offsets), shape=(len(density), len(lengths)))
        density[:, n] = rows @ harmonics
    return density
