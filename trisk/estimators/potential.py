"""TriForces as an interatomic potential: energies, forces and stresses."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from trisk._compat import Interval
from trisk.estimators.base import document_parameters
from trisk.estimators.triforces import SupervisedTriForces, build_encoder, to_batch
from trisk.nn import EnergyHead, PotentialLoss, PotentialNetwork
from trisk.structures import connect
from trisk.training.datasets import StructureDataset
from trisk.training.net import resolve_device
from trisk.training.settings import AutomaticSchedule

RESULTS = ("energy", "forces", "stress")
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def voigt_to_matrix(stress):
    """Stresses in the order xx, yy, zz, yz, xz, xy → symmetric matrices."""
    return np.asarray(stress)[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]


def matrix_to_voigt(stress):
    """Symmetric matrices → stresses in the order xx, yy, zz, yz, xz, xy."""
    return np.stack([np.asarray(stress)[..., i, j] for i, j in _VOIGT], axis=-1)


def read_targets(X, y, counts):
    """Collect what frames carry, or what `y` holds: flat arrays, with NaN for what is missing.

    Energies ``(n_structures,)`` in eV, forces ``(n_atoms, 3)`` in eV/Å and stresses
    ``(n_structures, 3, 3)`` in eV/Å³, by name.
    """
    rows = [_results(frame) for frame in X] if y is None else _rows_of(y, len(counts))
    n = len(counts)
    energy, stress = np.full(n, np.nan), np.full((n, 3, 3), np.nan)
    forces = []
    for row, (results, count) in enumerate(zip(rows, counts, strict=True)):
        of_row = results.get("forces")
        of_row = np.full((count, 3), np.nan) if of_row is None else np.asarray(of_row, dtype=float)
        if of_row.shape != (count, 3):
            raise ValueError(
                f"Row {row} has {count} atoms, but forces of shape {of_row.shape}, not "
                f"({count}, 3)."
            )
        forces.append(of_row)
        if results.get("energy") is not None:
            energy[row] = results["energy"]
        if results.get("stress") is not None:
            values = np.asarray(results["stress"], dtype=float)
            stress[row] = values if values.shape == (3, 3) else voigt_to_matrix(values)
        known = np.concatenate([energy[row : row + 1], of_row.ravel(), stress[row].ravel()])
        if np.isinf(known).any():
            raise ValueError(f"Row {row} has an infinite energy, force or stress.")
        if np.isnan(energy[row]) and not np.isfinite(of_row).any():
            raise ValueError(
                f"Row {row} carries neither an energy nor forces. Attach the results of a "
                "calculation (ase.calculators.singlepoint.SinglePointCalculator) or give y."
            )
    return {"energy": energy, "forces": np.concatenate(forces), "stress": stress}


def _results(frame):
    """Results that Atoms carry, without computing anything."""
    calculator = getattr(frame, "calc", None)
    return dict(getattr(calculator, "results", {}))


def _rows_of(y, n_structures):
    """One dictionary per structure from energies or a mapping of columns."""
    is_mapping = hasattr(y, "items") and not isinstance(y, pd.Series)
    columns = dict(y.items()) if is_mapping else {"energy": np.asarray(y, dtype=float)}
    unknown = set(columns) - set(RESULTS)
    if unknown or ("energy" not in columns and "forces" not in columns):
        raise ValueError(
            "y must be energies or hold 'energy', 'forces' and 'stress' by name, but holds "
            f"{sorted(map(str, columns))}."
        )
    for name, values in columns.items():
        if len(values) != n_structures:
            raise ValueError(f"y has {len(values)} values of {name} for {n_structures} structures.")
    values = {name: list(column) for name, column in columns.items()}
    return [{name: column[i] for name, column in values.items()} for i in range(n_structures)]


@document_parameters
@dataclass(kw_only=True, repr=False, eq=False)
class TriForcesPotential(SupervisedTriForces):
    """Interatomic potential of three streams: energies, forces and stresses.

    The energy is a sum over atoms of a network's output, a composition term and the energies of
    reference that a linear fit gives each element. Forces and stresses are its derivatives with
    respect to the positions and the strain that all streams see [1]_. All neighbours within the
    cutoff are taken, and everything ends smoothly there.

    Parameters
    ----------
    {common}
    {fine_tuning}
    energy_weight : float, default=1.0
        Weight of the error of energies per atom, relative to their spread.
    forces_weight : float, default=1.0
        Weight of the error of forces, relative to their root mean square.
    stress_weight : float, default=0.1
        Weight of the error of stresses, relative to their root mean square.

    Attributes
    ----------
    {net}
    {fitted}
    elements_ : ndarray of int
        Atomic numbers of the elements in the training set.
    references_ : ndarray of shape (n_elements,)
        Energy of reference of each of them, in eV.

    See Also
    --------
    TriForcesRegressor : Any property of structures.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from trisk.estimators import TriForcesOptions, TriForcesPotential
    >>> frames = []
    >>> for seed in range(4):
    ...     frame = bulk("Cu", cubic=True)
    ...     frame.rattle(0.1, seed=seed)
    ...     frame.calc = EMT()
    ...     _ = frame.get_potential_energy(), frame.get_stress()
    ...     frames.append(frame)
    >>> small = TriForcesOptions(hidden_dim=8, cutoff=4.0)
    >>> potential = TriForcesPotential(network=small, max_epochs=2, random_state=0)
    >>> results = potential.fit(frames).predict(frames)
    >>> results["energy"].shape, results["forces"][0].shape, results["stress"].shape
    ((4,), (4, 3), (4, 6))
    """

    # One frame teaches many numbers: forces of all its atoms.
    learning_rate: float = 5e-3
    pretrained_rate: float | str = 1.0
    energy_weight: float = 1.0
    forces_weight: float = 1.0
    stress_weight: float = 0.1

    _schedule = AutomaticSchedule(n_steps=4000, n_rows=100, n_batches=40, smallest=2, largest=16)
    _parameter_constraints = {
        **SupervisedTriForces._parameter_constraints,
        "energy_weight": [Interval(Real, 0, None, closed="left")],
        "forces_weight": [Interval(Real, 0, None, closed="left")],
        "stress_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags

    def fit(self, X, y=None):
        """Fit to energies, forces and stresses; some may be missing in some structures.

        Parameters
        ----------
        X : collection of Atoms or other structures, of length n_samples
            Structures. Without `y`, ASE ``Atoms`` that carry the results of a calculation, as
            :func:`ase.io.read` gives them from extended XYZ files.
        y : array-like of shape (n_samples,) or mapping, default=None
            Total energies in eV; or "energy", "forces" in eV/Å (one array per structure) and
            "stress" in eV/Å³ (in the order xx, yy, zz, yz, xz, xy) by name, all but one of the
            first two optional. NaN means missing.

        Returns
        -------
        self : object
            Fitted potential.

        Raises
        ------
        ValueError
            If a structure cannot be used, or carries neither an energy nor forces.
        FloatingPointError
            If the loss diverges.
        KeyboardInterrupt
            After an interruption; the potential is then fitted with the weights reached so far.
        """
        graphs = self._read_training(X)
        counts = graphs.counts("atom")
        targets = read_targets(X, y, counts)
        self.elements_, self.references_, rest = _fit_references(graphs, targets["energy"])
        scales = {
            "energy_scale": _spread(rest),
            "forces_scale": _spread(targets["forces"]),
            "stress_scale": _spread(targets["stress"]),
        }
        references = dict(zip(self.elements_.tolist(), self.references_.tolist(), strict=True))
        self.architecture_ = self.options("network")._encoder() | {
            "references": references,
            "scale": scales["forces_scale"],
        }
        dataset = StructureDataset(
            graphs,
            to_batch,
            {"energy": targets["energy"], "stress": targets["stress"], "n_atoms": counts},
            {"forces": targets["forces"]},
            device=resolve_device(self.device),
        )
        weights = {f"{name}_weight": getattr(self, f"{name}_weight") for name in RESULTS}
        self._train(dataset, lambda: PotentialLoss(**weights, **scales))
        return self

    def _build(self, architecture):
        own = ("references", "scale")
        streams = build_encoder(**{k: v for k, v in architecture.items() if k not in own})
        references, scale = (architecture[name] for name in own)
        head = EnergyHead(streams.widths, architecture["hidden_dim"], references, scale)
        return PotentialNetwork(streams, head)

    def predict(self, X, as_frame=False):
        """Predict energies, forces and stresses.

        Parameters
        ----------
        X : CrystalGraphs or array-like of structures, of length n_samples
            Structures of elements in the training set.
        as_frame : bool, default=False
            Whether to return a DataFrame with a row for each structure.

        Returns
        -------
        results : dict or DataFrame
            "energy": ndarray of shape (n_samples,), total energies in eV. "forces": list of
            ndarrays of shape (n_atoms, 3), in eV/Å. "stress": ndarray of shape (n_samples, 6),
            in eV/Å³ and in the order xx, yy, zz, yz, xz, xy, NaN where a structure does not
            repeat in all directions. As a frame, every cell of the column "stress" is an array
            of six.

        Raises
        ------
        ValueError
            If a structure has an element that the training set had not.
        """
        check_is_fitted(self)
        graphs = self._connect(X)
        results = self._evaluate(graphs)
        results["forces"] = np.split(results["forces"], graphs.offsets["atom"][1:-1])
        results["stress"] = matrix_to_voigt(results["stress"])
        if not as_frame:
            return results
        return pd.DataFrame({name: list(values) for name, values in results.items()})

    def _check_elements(self, graphs):
        unknown = ~np.isin(graphs.atomic_numbers, self.elements_)
        if unknown.any():
            atom = int(np.argmax(unknown))
            row = int(np.searchsorted(graphs.offsets["atom"], atom, side="right")) - 1
            raise ValueError(
                f"Row {row} has atoms with atomic number {graphs.atomic_numbers[atom]}, which the "
                f"training set had not; it had {self.elements_.tolist()}."
            )

    def _evaluate(self, graphs):
        """Mean over members of energy, forces and stress, as flat arrays."""
        self._check_elements(graphs)
        results = {
            "energy": np.full(len(graphs), np.nan),
            "forces": np.full((len(graphs.atomic_numbers), 3), np.nan),
            "stress": np.full((len(graphs), 3, 3), np.nan),
        }
        of_atom = np.repeat(np.arange(len(graphs)), graphs.counts("atom"))
        for rows, batch in self._predict_batches(graphs):
            atoms = np.flatnonzero(np.isin(of_atom, rows))
            outputs = self._evaluate_batch(batch)
            for name, index in (("energy", rows), ("forces", atoms), ("stress", rows)):
                results[name][index] = outputs[name]
        results["stress"][~graphs.pbc.all(axis=1)] = np.nan
        return results

    def _evaluate_batch(self, batch):
        """Mean over members of energy, forces and stress of one batch."""
        outputs = [net.module_(batch) for net in self.nets_]
        return {
            name: torch.stack([output[name] for output in outputs]).mean(0).cpu().numpy()
            for name in RESULTS
        }

    def score(self, X, y=None):
        """Coefficient of determination R² of the forces, or of energies where none are known.

        Parameters
        ----------
        X : collection of Atoms or other structures, of length n_samples
            Structures, as in `fit`.
        y : array-like of shape (n_samples,) or mapping, default=None
            Results of calculations, as in `fit`.

        Returns
        -------
        score : float
            R² over all components of known forces; of energies per atom without any.
        """
        check_is_fitted(self)
        graphs = self._connect(X)
        counts = graphs.counts("atom")
        targets, results = read_targets(X, y, counts), self._evaluate(graphs)
        true, predicted = targets["forces"], results["forces"]
        if not np.isfinite(true).any():
            true, predicted = targets["energy"] / counts, results["energy"] / counts
        known = np.isfinite(true)
        residual = np.square(true - predicted)[known].sum()
        return float(1 - residual / np.square(true - true[known].mean())[known].sum())

    def calculator(self, skin=0.5):
        """Make an ASE calculator.

        Parameters
        ----------
        skin : float, default=0.5
            Neighbours are found within the cutoff and this, in Å, and found anew only when an
            atom has moved by half of it, or the cell or its directions of repetition changed.

        Returns
        -------
        calculator : ase.calculators.calculator.Calculator
            With energy, free energy, forces and, for structures that repeat in all directions,
            stress, for relaxations and molecular dynamics.
        """
        check_is_fitted(self)
        return _make_calculator(self, skin)


def _fit_references(graphs, energies):
    """Elements, their energies by least squares, and what these leave of the energies per atom."""
    elements = np.unique(graphs.atomic_numbers)
    structures = np.repeat(np.arange(len(graphs)), graphs.counts("atom"))
    composition = np.zeros((len(graphs), len(elements)))
    np.add.at(composition, (structures, np.searchsorted(elements, graphs.atomic_numbers)), 1)
    known = np.isfinite(energies)
    references = np.zeros(len(elements))
    if known.any():
        # The smallest solution, where compositions do not tell all elements apart.
        references = np.linalg.lstsq(composition[known], energies[known], rcond=1e-8)[0]
    return elements, references, (energies - composition @ references) / graphs.counts("atom")


def _spread(values):
    """Root mean square of known values; one if there are none or all are zero."""
    known = values[np.isfinite(values)]
    spread = float(np.sqrt(np.mean(np.square(known)))) if len(known) else 0.0
    return spread if spread > 0 else 1.0


def _make_calculator(potential, skin):
    """ASE's base class is imported here: potentials are trained without ASE."""
    from ase.calculators.calculator import (
        Calculator,
        PropertyNotImplementedError,
        all_changes,
    )

    class TriForcesCalculator(Calculator):
        """ASE calculator of a fitted potential, with a list of neighbours for several steps."""

        implemented_properties = ["energy", "free_energy", "forces", "stress"]

        def __init__(self):
            super().__init__()
            self.potential = potential
            self.skin = skin
            self._found_for = None

        def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
            """Compute energy, forces and stress."""
            super().calculate(atoms, properties, system_changes)
            periodic = bool(self.atoms.pbc.all())
            if "stress" in properties and not periodic:
                raise PropertyNotImplementedError(
                    f"there is no stress: pbc is {self.atoms.pbc.tolist()}"
                )
            self._update_batch()
            results = potential._evaluate_batch(self._batch)
            energy = float(results["energy"][0])
            self.results = {"energy": energy, "free_energy": energy, "forces": results["forces"]}
            if periodic:
                self.results["stress"] = matrix_to_voigt(results["stress"][0])

        def _update_batch(self):
            """Move the atoms, with new neighbours if the old list no longer holds."""
            old, new = self._found_for, self.atoms
            holds = (
                old is not None
                and np.array_equal(old.numbers, new.numbers)
                and np.array_equal(old.pbc, new.pbc)
                and np.array_equal(old.cell.array, new.cell.array)
                and np.linalg.norm(old.positions - new.positions, axis=1).max() < skin / 2
            )
            if not holds:
                cutoff = potential.options("network").cutoff
                graphs = connect([new], cutoff + skin)
                potential._check_elements(graphs)
                parameter = next(potential.net_.module_.parameters())
                self._batch = to_batch(graphs, parameter.device, parameter.dtype)
                self._found_for = new.copy()
            positions = torch.as_tensor(new.positions).to(self._batch.positions)
            self._batch = self._batch.moved(positions)

    return TriForcesCalculator()
