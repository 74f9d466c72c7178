"""Records of measurements → columns with stable names and units."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from trisk.featurizers.potential._measurements import GPA

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_HIGHEST = 4  # of the optical modes, one column each
_PEAK_WIDTHS = (3, 10)  # cm⁻¹
_BINS_PER_WIDTH = 5
_STATISTICS = [
    *(f"quantile {q:g}" for q in _QUANTILES),
    "mean",
    "standard deviation",
    "geometric mean",
]

#: Sensor → the measurement that it is computed from.
MEASUREMENTS = {
    "energy": "energy_and_forces",
    "stress": "energy_and_forces",
    "forces": "energy_and_forces",
    "relaxation": "geometry",
    "gamma": "force_constants",
    "einstein": "force_constants",
    "phonon_dos": "phonon_mesh",
    "elasticity": "elasticity",
    "elastic_constants": "elasticity",
    "stacking": "stacking",
    "formation": "formation",
}

_NAMES = {
    "energy": ["energy (eV/atom)"],
    "stress": ["pressure (GPa)", "von Mises stress (GPa)"],
    "forces": ["largest force (eV/A)"],
    "relaxation": ["relaxed volume ratio", "relaxation converged"],
    "gamma": [
        *(f"gamma highest {k + 1} (1/cm)" for k in range(_HIGHEST)),
        "gamma lowest (1/cm)",
        "gamma imaginary modes",
        *(f"gamma {name} (1/cm)" for name in _STATISTICS),
    ],
    "einstein": [
        "Einstein highest (1/cm)",
        "Einstein lowest (1/cm)",
        "Einstein imaginary modes",
        "Einstein highest of softest site (1/cm)",
        *(f"Einstein {name} (1/cm)" for name in _STATISTICS),
    ],
    "phonon_dos": [
        *(f"DOS last peak at width {width} (1/cm)" for width in _PEAK_WIDTHS),
        "DOS maximum (1/cm)",
        "DOS mean of highest band (1/cm)",
        "DOS imaginary share",
        "DOS highest Einstein (1/cm)",
        "DOS lowest Einstein (1/cm)",
        *(f"DOS {name} (1/cm)" for name in _STATISTICS),
    ],
    "elasticity": [
        "bulk modulus (GPa)",
        "shear modulus (GPa)",
        "elastic anisotropy",
        "softest elastic eigenvalue (GPa)",
    ],
    "elastic_constants": [f"C{i}{j} (GPa)" for i in range(1, 7) for j in range(i, 7)],
    "stacking": [
        "stacking energy (eV/atom)",
        "stacking energy (meV/A2)",
        "stacking energy beyond 3 A (meV/A2)",
        "stacking energy spread over shifts (meV/A2)",
        "stacking gap (A)",
    ],
    "formation": ["formation energy (eV/atom)"],
}


def sensor_columns(sensors):
    """Name and unit of each column, in the order of the sensors."""
    return [f"Potential {name}" for sensor in sensors for name in _NAMES[sensor]]


def sensor_values(sensors, records):
    """Values of these columns for one crystal, from its records by measurement."""
    n_atoms = len(records["geometry"]["numbers"])
    return np.concatenate([_VALUES[s](records[MEASUREMENTS[s]], n_atoms) for s in sensors])


def _stress(record, _):
    """Invariants of the stress: pressure and von Mises stress."""
    xx, yy, zz, yz, xz, xy = record["stress"] * GPA
    shear = (xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2 + 6 * (yz**2 + xz**2 + xy**2)
    return [-(xx + yy + zz) / 3, np.sqrt(shear / 2)]


def _gamma(record, _):
    """Optical modes at Γ; those that a small cell lacks repeat its lowest one."""
    modes = record["gamma"]
    highest = modes[::-1][:_HIGHEST] if len(modes) else np.zeros(1)
    highest = np.pad(highest, (0, _HIGHEST - len(highest)), mode="edge")
    lowest = modes[0] if len(modes) else 0.0
    return [*highest, lowest, (modes < 0).sum(), *_statistics(modes)]


def _einstein(record, _):
    modes = record["einstein"]
    extremes = modes.max(), modes.min(), (modes < 0).sum(), modes.max(axis=1).min()
    return [*extremes, *_statistics(modes.ravel())]


def _phonon_dos(mesh, _):
    frequencies, weights = mesh["frequencies"], mesh["weights"]
    of_modes = np.repeat(weights / frequencies.shape[1], frequencies.shape[1])
    return [
        *(last_peak(frequencies, weights, width) for width in _PEAK_WIDTHS),
        frequencies.max(),
        weights @ frequencies.max(axis=1),
        weights @ (frequencies < -1).mean(axis=1),
        mesh["einstein"].max(),
        mesh["einstein"].min(),
        *_statistics(frequencies.ravel(), of_modes),
    ]


def _stacking(record, n_atoms):
    """What the layers gain where they hold best, and how much that depends on shift and gap."""
    gains, gaps, per_area = -record["binding"], record["gaps"], 1e3 / record["area"]
    best = gains.max(axis=1)
    return [
        best.max() / n_atoms,
        per_area * best.max(),
        per_area * gains[:, gaps >= 3].max(),
        per_area * np.ptp(best),
        gaps[gains.max(axis=0).argmax()],
    ]


#: Sensor → its values from the record of its measurement and the number of atoms.
_VALUES: dict[str, Callable] = {
    "energy": lambda record, n_atoms: [record["energy"] / n_atoms],
    "stress": _stress,
    "forces": lambda record, _: [np.linalg.norm(record["forces"], axis=1).max()],
    "relaxation": lambda record, _: [record["volume_ratio"], float(record["converged"])],
    "gamma": _gamma,
    "einstein": _einstein,
    "phonon_dos": _phonon_dos,
    "elasticity": lambda record, _: elastic_moduli(record["constants"]),
    "elastic_constants": lambda record, _: record["constants"][np.triu_indices(6)],
    "stacking": _stacking,
    "formation": lambda record, _: [record["energy"]],
}


def _statistics(values, weights=None):
    """Quantiles, mean, deviation and the geometric mean of positive values, with weights."""
    if not values.size:
        return [0.0] * len(_STATISTICS)
    weights = np.full(len(values), 1 / len(values)) if weights is None else weights
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) - weights[order] / 2
    mean = float(weights @ values)
    real = values > 1.0  # the logarithm of an acoustic frequency near Γ says nothing
    geometric = (
        np.exp(weights[real] @ np.log(values[real]) / weights[real].sum()) if real.any() else 0
    )
    return [
        *np.interp(_QUANTILES, reached, values[order]),
        mean,
        np.sqrt(weights @ (values - mean) ** 2),
        geometric,
    ]


def last_peak(frequencies, weights, width, smallest=0.05):
    """Highest frequency with a peak, no lower than a share, in the broadened density of states."""
    step = width / _BINS_PER_WIDTH
    low, high = frequencies.min() - 5 * width, frequencies.max() + 5 * width
    grid = np.arange(low, high + step, step)
    edges = np.append(grid - step / 2, grid[-1] + step / 2)
    of_modes = np.broadcast_to(weights[:, None], frequencies.shape)
    counts, _ = np.histogram(frequencies, edges, weights=of_modes)
    density = gaussian_filter1d(counts, _BINS_PER_WIDTH, mode="constant")
    peaks, _ = find_peaks(density, height=smallest * density.max())
    return float(grid[peaks[-1]])


def elastic_moduli(constants):
    """Bulk and shear modulus (Hill), universal anisotropy and softest eigenvalue, in GPa.

    The softest eigenvalue is that of a map of strains, negative for an unstable crystal; the
    averages are then Voigt's and the anisotropy is 0.
    """
    from pymatgen.analysis.elasticity import ElasticTensor

    # Kelvin's notation: in Voigt's, shear counts half and eigenvalues depend on the orientation.
    kelvin = np.repeat([1, np.sqrt(2)], 3)
    softest = float(np.linalg.eigvalsh(constants * np.outer(kelvin, kelvin))[0])
    tensor = ElasticTensor.from_voigt(constants)
    if softest <= 0:
        return tensor.k_voigt, tensor.g_voigt, 0.0, softest
    return tensor.k_vrh, tensor.g_vrh, tensor.universal_anisotropy, softest
