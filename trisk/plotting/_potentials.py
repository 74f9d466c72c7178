"""What an interatomic potential says of a crystal, and of frames whose results are known."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from trisk.plotting._base import COLORS, GUIDE, Display, drawn, legend_above, numbers, plain_axes
from trisk.plotting._parity import ParityDisplay

# Distance in Å and relative length within which ASE takes a cell for a symmetric one.
_TOLERANCE = 1e-3


def _calls(calculator):
    """Energies, forces and stresses from any potential."""
    from trisk.featurizers.potential._calls import ForceCalls, make_calculator

    return ForceCalls(make_calculator(calculator), batch_atoms=256)


@dataclass(kw_only=True, eq=False, repr=False)
class PhononDisplay(Display):
    """Phonon bands along the lines of symmetry of the Brillouin zone, by phonopy.

    Imaginary frequencies are negative. Several models share one picture when the ``ax_`` of the
    first display is passed to the next as ``ax``.

    Parameters
    ----------
    phonons : phonopy.Phonopy
        A crystal with force constants, such as ``phonopy.load`` reads.
    name : str, default=None
        Name of the model in the legend.
    n_points : int, default=40
        Wave vectors on each line.
    path : str, default=None
        Points of the path as ASE names them, such as ``"GMKG"`` for a layer; None takes the
        usual path of the lattice.

    {Attributes}
    frequencies_ : ndarray of shape (n_wave_vectors, n_bands)
        Frequencies in cm⁻¹.
    labels_ : list of str
        Names of the points at the ends of the lines, Γ for the centre.
    """

    phonons: Any
    name: str | None = None
    n_points: int = 40
    path: str | None = None

    _size = (6.4, 4.2)

    @classmethod
    def from_calculator(
        cls, calculator, atoms, *, supercell_length=8.0, displacement=0.01, ax=None, **parameters
    ):
        """Compute force constants with a potential, and draw the bands.

        Parameters
        ----------
        calculator : ASE calculator, callable or fitted potential
            As for :class:`~trisk.featurizers.PotentialFeaturizer`.
        atoms : ase.Atoms
            A relaxed crystal, which is reduced to its primitive cell.
        supercell_length : float, default=8.0
            Smallest distance in Å between opposite faces of the supercell.
        displacement : float, default=0.01
            Å by which atoms are moved.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        **parameters
            Further parameters of the class, such as ``name``.

        Returns
        -------
        PhononDisplay
            The display, drawn; its ``phonons`` do whatever else phonopy can.

        Raises
        ------
        ImportError
            If phonopy is not installed.
        """
        from trisk.featurizers.potential import _vibrations as vibrations

        vibrations.require_phonopy()
        crystal = vibrations.reduce_to_primitive(atoms, _TOLERANCE)
        repeats = vibrations.supercell_repeats(crystal, supercell_length)
        settings = repeats, displacement, _TOLERANCE
        phonons = vibrations.supercell_phonons(crystal, _calls(calculator), *settings)
        return cls(phonons=phonons, **parameters).plot(ax)

    def _draw(self, ax):
        from ase.cell import Cell
        from ase.dft.kpoints import parse_path_string

        from trisk.featurizers.potential._vibrations import THZ

        path = Cell(self.phonons.primitive.cell).bandpath(self.path, eps=_TOLERANCE)
        points, parts = path.special_points, parse_path_string(path.path)
        lines = [ends for part in parts for ends in pairwise(part)]
        self.phonons.run_band_structure(
            [np.linspace(points[a], points[b], self.n_points) for a, b in lines]
        )
        bands = self.phonons.band_structure
        self.frequencies_ = np.concatenate(bands.frequencies) * THZ
        # Relative, as the crystals that several models relaxed differ a little.
        distances = [along / bands.distances[-1][-1] for along in bands.distances]
        n_models, ticks = len(drawn(ax.lines)), dict[float, dict]()
        for along, values, ends in zip(distances, bands.frequencies, lines, strict=True):
            drawn_lines = ax.plot(along, values * THZ, color=COLORS[n_models % len(COLORS)], lw=1.2)
            for place, label in zip(along[[0, -1]], ends, strict=True):
                ticks.setdefault(place, {})[label.replace("G", "Γ")] = None
        drawn_lines[0].set(gid="model", label=self.name or "")
        self.labels_ = ["|".join(labels) for labels in ticks.values()]
        if not n_models:
            for place in ticks:
                ax.axvline(place, color="0.8", linewidth=0.8, zorder=1)
            ax.axhline(0, **GUIDE)
            ax.set_xticks(list(ticks), self.labels_)
            ax.set(xlim=(0, 1), ylabel="frequency (cm⁻¹)")
            plain_axes(ax)
        if self.name is not None:
            legend_above(ax, ncols=3)


@dataclass(kw_only=True, eq=False, repr=False)
class EnergyVolumeDisplay(Display):
    """Energy against volume, with an equation of state (Birch and Murnaghan) by ASE.

    Energies are relative to the minimum of the fit, so that potentials and reference calculations
    can share one picture: the ``ax_`` of the first display is passed to the next as ``ax``.

    Parameters
    ----------
    volumes : array-like of shape (n_points,)
        Volumes in Å³ per atom, at least five.
    energies : array-like of shape (n_points,)
        Energies in eV per atom.
    name : str, default=None
        Name of the model in the legend.

    {Attributes}
    volume_, energy_ : float
        Volume (Å³/atom) and energy (eV/atom) at the minimum.
    bulk_modulus_ : float
        Bulk modulus in GPa.
    text_ : str
        This model's entry in the legend.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from trisk.plotting import EnergyVolumeDisplay
    >>> display = EnergyVolumeDisplay.from_calculator(EMT(), bulk("Cu"), name="EMT")
    >>> display.text_
    'EMT: 11.6 Å³/atom, 134 GPa'
    """

    volumes: Any
    energies: Any
    name: str | None = None

    @classmethod
    def from_calculator(cls, calculator, atoms, *, strain=0.1, n_points=11, ax=None, **parameters):
        """Compute energies of a crystal at several volumes, and draw them.

        Parameters
        ----------
        calculator : ASE calculator, callable or fitted potential
            As for :class:`~trisk.featurizers.PotentialFeaturizer`.
        atoms : ase.Atoms
            A crystal near its minimum; atoms keep their places in the cell.
        strain : float, default=0.1
            Largest relative change of the volume.
        n_points : int, default=11
            Number of volumes.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; a new figure if None.
        **parameters
            Further parameters of the class, such as ``name``.

        Returns
        -------
        EnergyVolumeDisplay
            The display, drawn.
        """
        images = [atoms.copy() for _ in range(n_points)]
        for image, change in zip(images, np.linspace(-strain, strain, n_points), strict=True):
            image.set_cell(atoms.cell.array * (1 + change) ** (1 / 3), scale_atoms=True)
        volumes = np.array([image.get_volume() for image in images]) / len(atoms)
        energies = _calls(calculator)(images)[0] / len(atoms)
        return cls(volumes=volumes, energies=energies, **parameters).plot(ax)

    def _checked(self):
        volumes, energies = numbers(self.volumes, "volumes"), numbers(self.energies, "energies")
        check_consistent_length(volumes, energies)
        if len(volumes) < 5:
            raise ValueError(f"An equation of state needs at least 5 volumes, not {len(volumes)}.")
        return volumes, energies

    def _draw(self, ax, volumes, energies):
        from ase.eos import EquationOfState, birchmurnaghan

        from trisk.featurizers.potential._measurements import GPA

        state = EquationOfState(volumes, energies, eos="birchmurnaghan")
        self.volume_, self.energy_, modulus = map(float, state.fit())
        self.bulk_modulus_ = modulus * GPA
        text = f"{self.volume_:.3g} Å³/atom, {self.bulk_modulus_:.3g} GPa"
        self.text_ = text if self.name is None else f"{self.name}: {text}"
        color = COLORS[len(drawn(ax.lines)) % len(COLORS)]
        dense = np.linspace(volumes.min(), volumes.max(), 200)
        curve = birchmurnaghan(dense, *state.eos_parameters) - self.energy_
        ax.plot(dense, 1e3 * curve, color=color, linewidth=1.2)
        style = {"color": color, "gid": "model", "label": self.text_}
        ax.plot(volumes, 1e3 * (energies - self.energy_), "o", markersize=4, **style)
        ax.set(xlabel="volume (Å³/atom)", ylabel="energy above the minimum (meV/atom)")
        plain_axes(ax)
        legend_above(ax)


def draw_potential(calculator, frames, y=None, *, name=None):
    """Draw energies, forces and stresses of a potential against those of a calculation.

    Parameters
    ----------
    calculator : ASE calculator, callable or fitted potential
        As for :class:`~trisk.featurizers.PotentialFeaturizer`.
    frames : list of ase.Atoms
        Structures that it was not fitted to. Without `y` they carry the results of a calculation,
        under the names that :class:`~trisk.estimators.TriForcesPotential` looks for.
    y : array-like of shape (n_frames,) or mapping, default=None
        Results of the calculation, as for ``TriForcesPotential.fit``.
    name : str, default=None
        Name of the potential in the legends.

    Returns
    -------
    displays : dict of str to ParityDisplay
        "energy" in eV/atom, "forces" (all components) in eV/Å and "stress" in GPa, each where
        there are known values.
    """
    from trisk.estimators.potential import read_targets
    from trisk.estimators.simulation import matrix_to_voigt
    from trisk.featurizers.potential._calls import is_potential
    from trisk.featurizers.potential._measurements import GPA

    counts, calls = np.array([len(frame) for frame in frames]), _calls(calculator)
    keys = calculator._keys() if is_potential(calculator) else None
    known = read_targets(frames, y, counts, keys)
    energies, forces, stresses = zip(*(calls([frame]) for frame in frames), strict=True)
    values = {
        "energy": (known["energy"] / counts, np.ravel(energies) / counts, "energy", "eV/atom"),
        "forces": (known["forces"], np.concatenate(forces, axis=1)[0], "force", "eV/Å"),
        "stress": (matrix_to_voigt(known["stress"]) * GPA, np.array(stresses)[:, 0] * GPA,
                   "stress", "GPa"),
    }  # fmt: skip
    displays = {}
    for result, (true, found, quantity, unit) in values.items():
        use = np.isfinite(true) & np.isfinite(found)
        if use.any():
            displays[result] = ParityDisplay.from_predictions(
                true[use], found[use], quantity=quantity, unit=unit, name=name
            )
    return displays
