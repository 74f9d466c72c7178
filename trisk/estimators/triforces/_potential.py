"""TriForces as an interatomic potential."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from trisk.estimators._schedule import AutomaticSchedule
from trisk.estimators._training import resolve_device
from trisk.estimators.triforces._base import BaseTriForces
from trisk.estimators.triforces._crystal_batches import CrystalDataset
from trisk.estimators.triforces._crystals import read_crystals
from trisk.estimators.triforces._frames import matrix_to_voigt, read_targets
from trisk.estimators.triforces._streams import (
    CONSTRAINTS,
    build_potential_network,
    document_parameters,
)
from trisk.nn import BatchInvariance, PotentialLoss


@document_parameters
class TriForcesPotential(BaseTriForces):
    """Interatomic potential of three streams: energies, forces and stresses.

    The energy is a sum over atoms of a network's output, a composition term and the energies of
    reference that a linear fit gives each element. Forces and stresses are its derivatives with
    respect to the positions and the strain that all streams see [1]_. All neighbours within the
    cutoff are taken, and everything ends smoothly there.

    Parameters
    ----------
    energy_weight : float, default=1.0
        Weight of the error of energies per atom, relative to their spread.
    forces_weight : float, default=1.0
        Weight of the error of forces, relative to their root mean square.
    stress_weight : float, default=0.1
        Weight of the error of stresses, relative to their root mean square.
    {encoder}
    {fine_tuning}
    {training}

    Attributes
    ----------
    nets_ : list of skorch.NeuralNet
        The trained net of every member: ``nets_[0].history``, ``nets_[0].module_``.
    elements_ : ndarray of int
        Atomic numbers of the elements in the training set.
    references_ : ndarray of shape (n_elements,)
        Energy of reference of each of them, in eV.

    See Also
    --------
    TriForcesRegressor : Any property of crystals.

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from trisk.estimators import TriForcesPotential
    >>> frames = []
    >>> for seed in range(4):
    ...     frame = bulk("Cu", cubic=True)
    ...     frame.rattle(0.1, seed=seed)
    ...     frame.calc = EMT()
    ...     _ = frame.get_potential_energy(), frame.get_stress()
    ...     frames.append(frame)
    >>> potential = TriForcesPotential(hidden_dim=8, cutoff=4.0, max_epochs=2, random_state=0)
    >>> results = potential.fit(frames).predict(frames)
    >>> results["energy"].shape, results["forces"][0].shape, results["stress"].shape
    ((4,), (4, 3), (4, 6))
    """

    _build = staticmethod(build_potential_network)
    _schedule = AutomaticSchedule(n_steps=4000, n_rows=100, n_batches=40, smallest=2, largest=16)
    # One frame teaches many numbers: forces of all its atoms.
    _documented = {"learning_rate": 5e-3, "pretrained_rate": 1.0}
    _parameter_constraints = {
        **CONSTRAINTS,
        "energy_weight": [Interval(Real, 0, None, closed="left")],
        "forces_weight": [Interval(Real, 0, None, closed="left")],
        "stress_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        energy_weight=1.0,
        forces_weight=1.0,
        stress_weight=0.1,
        backbone="builtin",
        backbone_params=None,
        streams=("composition", "structure", "interaction"),
        cutoff=6.0,
        hidden_dim=64,
        n_layers=3,
        stoichiometry="counts",
        class_token=False,
        pretrained=None,
        fine_tune="full",
        pretrained_rate=1.0,
        n_members=1,
        max_epochs="auto",
        batch_size="auto",
        learning_rate=5e-3,
        weight_decay=1e-2,
        max_grad_norm=10.0,
        ema_decay=0.995,
        validation_fraction=0.0,
        patience=None,
        checkpoint=None,
        callbacks=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            backbone=backbone,
            backbone_params=backbone_params,
            streams=streams,
            cutoff=cutoff,
            hidden_dim=hidden_dim,
            n_layers=n_layers,
            stoichiometry=stoichiometry,
            class_token=class_token,
            pretrained=pretrained,
            fine_tune=fine_tune,
            pretrained_rate=pretrained_rate,
            n_members=n_members,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            max_grad_norm=max_grad_norm,
            ema_decay=ema_decay,
            validation_fraction=validation_fraction,
            patience=patience,
            checkpoint=checkpoint,
            callbacks=callbacks,
            device=device,
            random_state=random_state,
            verbose=verbose,
        )
        self.energy_weight = energy_weight
        self.forces_weight = forces_weight
        self.stress_weight = stress_weight

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags

    def fit(self, X, y=None):
        """Fit to energies, forces and stresses; some may be missing in some structures.

        Parameters
        ----------
        X : collection of Atoms or Structure, of length n_samples
            Crystals. Without `y`, ASE ``Atoms`` that carry the results of a calculation, as
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
        self.elements_, self.references_, rest = _fit_references(graphs, targets.energy)
        scales = {
            "energy_scale": _spread(rest),
            "forces_scale": _spread(targets.forces),
            "stress_scale": _spread(targets.stress),
        }
        dataset = CrystalDataset(
            graphs,
            {"energy": targets.energy, "stress": targets.stress, "n_atoms": counts},
            {"forces": targets.forces},
            device=resolve_device(self.device),
        )
        references = dict(zip(self.elements_.tolist(), self.references_.tolist(), strict=True))
        params = self._encoder_params() | {
            "references": references,
            "scale": scales["forces_scale"],
        }
        weights = ("energy_weight", "forces_weight", "stress_weight")
        loss = {name: getattr(self, name) for name in weights} | scales
        self._train(dataset, params, (PotentialLoss, loss))
        return self

    def predict(self, X, as_frame=False):
        """Predict energies, forces and stresses.

        Parameters
        ----------
        X : CrystalGraphs or collection of Atoms or Structure, of length n_samples
            Crystals of elements in the training set.
        as_frame : bool, default=False
            Whether to return a DataFrame with a row for each structure.

        Returns
        -------
        results : dict or DataFrame
            "energy": ndarray of shape (n_samples,), total energies in eV. "forces": list of
            ndarrays of shape (n_atoms, 3), in eV/Å. "stress": ndarray of shape (n_samples, 6),
            in eV/Å³ and in the order xx, yy, zz, yz, xz, xy. As a frame, every cell of the
            column "stress" is an array of six.

        Raises
        ------
        ValueError
            If a structure has an element that the training set had not.
        """
        check_is_fitted(self)
        graphs = read_crystals(X, self.cutoff)
        self._check_elements(graphs)
        results = self._evaluate(graphs)
        ends = graphs.offsets["atom"][1:-1]
        results["forces"] = np.split(results["forces"], ends)
        results["stress"] = matrix_to_voigt(results["stress"])
        if not as_frame:
            return results
        import pandas as pd

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
        results = {
            "energy": np.full(len(graphs), np.nan),
            "forces": np.full((len(graphs.atomic_numbers), 3), np.nan),
            "stress": np.full((len(graphs), 3, 3), np.nan),
        }
        of_atom = np.repeat(np.arange(len(graphs)), graphs.counts("atom"))
        with BatchInvariance(columns_vary=True):
            for rows, batch in self._predict_batches(graphs):
                atoms = np.flatnonzero(np.isin(of_atom, rows))
                outputs = self._evaluate_batch(batch)
                for name, index in (("energy", rows), ("forces", atoms), ("stress", rows)):
                    results[name][index] = outputs[name]
        return results

    def _evaluate_batch(self, batch):
        """Mean over members of energy, forces and stress of one batch."""
        outputs = [net.module_(batch) for net in self.nets_]
        names = ("energy", "forces", "stress")
        # One after the other, which is the same sum for any number of rows.
        return {k: (sum(o[k] for o in outputs) / len(outputs)).cpu().numpy() for k in names}

    def score(self, X, y=None):
        """Coefficient of determination R² of the forces, or of energies where none are known.

        Parameters
        ----------
        X : collection of Atoms or Structure, of length n_samples
            Crystals, as in `fit`.
        y : array-like of shape (n_samples,) or mapping, default=None
            Results of calculations, as in `fit`.

        Returns
        -------
        score : float
            R² over all components of known forces; of energies per atom without any.
        """
        check_is_fitted(self)
        graphs = read_crystals(X, self.cutoff)
        self._check_elements(graphs)
        counts = graphs.counts("atom")
        targets, results = read_targets(X, y, counts), self._evaluate(graphs)
        true, predicted = targets.forces, results["forces"]
        if not np.isfinite(true).any():
            true, predicted = targets.energy / counts, results["energy"] / counts
        known = np.isfinite(true)
        residual = np.square(true - predicted)[known].sum()
        return float(1 - residual / np.square(true - true[known].mean())[known].sum())

    def calculator(self, skin=0.5):
        """Make an ASE calculator.

        Parameters
        ----------
        skin : float, default=0.5
            Neighbours are found within the cutoff and this, in Å, and found anew only when an
            atom has moved by half of it or the cell has changed.

        Returns
        -------
        calculator : ase.calculators.calculator.Calculator
            With energy, free energy, forces and stress, for relaxations and molecular dynamics.
        """
        from trisk.estimators.triforces._calculator import TriForcesCalculator

        check_is_fitted(self)
        return TriForcesCalculator(self, skin)


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
