"""TriForces as an interatomic potential: energies, forces and stresses."""

import copy
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import HuberRegressor
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from trisk._compat import Interval, StrOptions
from trisk.estimators.base import document
from trisk.estimators.simulation import (
    evaluate,
    make_calculator,
    make_torch_sim_model,
    matrix_to_voigt,
    voigt_to_matrix,
)
from trisk.estimators.triforces import SupervisedTriForces, as_potential, build_encoder
from trisk.nn import EnergyHead, PotentialLoss, PotentialNetwork, to_batch
from trisk.structures import CrystalGraphs
from trisk.structures.checks import SHORTEST_BOND
from trisk.structures.rows import as_value_list
from trisk.training.datasets import StructureDataset
from trisk.training.net import drawing_from, resolve_device
from trisk.training.settings import AutomaticSchedule

RESULTS = ("energy", "forces", "stress")
# Shapes of all that is predicted, for each structure or atom.
_SHAPES = {
    "energy": (),
    "forces": (3,),
    "stress": (3, 3),
    "energies": (),
    "energy_std": (),
    "forces_std": (3,),
}
_OF_ATOMS = {"forces", "energies", "forces_std"}
# Names by which frames carry results of calculations, beside those that ASE knows.
_KEYS = {
    "energy": ("REF_energy", "dft_energy", "DFT_energy"),
    "forces": ("REF_forces", "dft_forces", "dft_force", "DFT_forces"),
    "stress": (
        *("REF_stress", "dft_stress", "DFT_stress", "REF_virials", "REF_virial"),
        *("dft_virials", "dft_virial", "DFT_virial", "virials", "virial"),
    ),
}
# Of fits of references: penalty of the robust one, and how much compositions must differ for
# least squares to tell elements apart; chosen on frames of 89 elements.
_PENALTY, _LEAST = 3.0, 0.1
# eV/atom, eV/Å and eV/Å³ below which the spread of results is noise of the calculation.
_NOISE = {"energy": 1e-5, "forces": 1e-4, "stress": 1e-6}
# Å; the least distance of atoms in predictions of a potential that knows how they repel.
_CLOSEST = 0.01


def read_targets(X, y, counts, keys=None):
    """Collect what frames carry, or what `y` holds: flat arrays, with NaN for what is missing.

    The `keys` are names by which frames carry energy, forces and stress; None are the usual ones.

    Energies ``(n_structures,)`` in eV, forces ``(n_atoms, 3)`` in eV/Å and stresses
    ``(n_structures, 3, 3)`` in eV/Å³, by name.
    """
    rows = _results_of(X, keys or {}) if y is None else _rows_of(y, len(counts))
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
                "calculation (ase.calculators.singlepoint.SinglePointCalculator), say by "
                "energy_key and forces_key where they are, read files by ase.io.read, or give y."
            )
    return {"energy": energy, "forces": np.concatenate(forces), "stress": stress}


def _results_of(X, keys):
    """Results that Atoms carry, without computing anything: one dictionary for each."""
    frames = [x.toatoms() if hasattr(x, "toatoms") else x for x in as_value_list(X, "structures")]
    for row, frame in enumerate(frames):
        calculator: Any = getattr(frame, "calc", None)
        if getattr(calculator, "atoms", 0) and calculator.results and calculator.check_state(frame):
            raise ValueError(
                f"Row {row} carries results of other positions than its own. Keep results at once: "
                "frame.calc = SinglePointCalculator(frame, **frame.calc.results)."
            )
    rows = [_results(frame, keys) for frame in frames]
    for name, key in keys.items():
        if key is not None and not any(name in row for row in rows):
            raise ValueError(f"No structure has {key!r} in Atoms.info or Atoms.arrays: {name}_key.")
    return rows


def _results(frame, keys):
    carried = {**getattr(frame, "info", {}), **getattr(frame, "arrays", {})}
    # Of one calculation: a calculator may hold another one than a reference that is named.
    if not any(str(key).lower().startswith(("ref_", "dft_")) for key in carried):
        carried |= getattr(getattr(frame, "calc", None), "results", {})
    found = {}
    for name in RESULTS:
        given = keys.get(name)
        for key in (given,) if given else (*_KEYS[name], name):
            is_virial = "virial" in key.lower()
            if name in found or key not in carried or (is_virial and frame.cell.rank < 3):
                continue
            values = np.asarray(carried[key], dtype=float)
            values = values.reshape(3, 3) if values.size == 9 and name == "stress" else values
            found[name] = -values / frame.get_volume() if is_virial else values
    return found


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
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@document
@dataclass(kw_only=True, repr=False, eq=False)
class TriForcesPotential(SupervisedTriForces):
    """Interatomic potential of three streams: energies, forces and stresses.

    The energy is a sum over atoms of a network's output, a composition term and the energies of
    reference that a linear fit gives each element. Forces and stresses are its derivatives with
    respect to the positions and the strain that all streams see [1]_. All neighbours within the
    cutoff are taken, and everything ends smoothly there.

    {Parameters}
    unknown_elements : {"warn", "raise", "ignore"}, default="raise"
        What to do about structures with elements that the training set had not.
    energy_weight, forces_weight, stress_weight : float, default=1.0, 1.0, 0.1
        Weights of the errors of energies per atom, relative to their spread, and of forces and
        stresses, relative to their root mean squares.
    energy_key, forces_key, stress_key : str or None, default=None
        Names by which ASE ``Atoms`` carry energies, forces and stresses in ``info`` or
        ``arrays``; of virials, a name that has "virial" in it. None looks for "REF_energy",
        "dft_energy" and the like first, and then for the results of a calculator.
    repulsion : bool, default=True
        Whether atoms repel each other below 0.7 times the sum of their covalent radii as screened
        nuclei do [2]_, so that they do not fuse where there is nothing to learn from. The network
        learns what this leaves; hardly a bond is that short.
    output : {"all", "energy"}, default="all"
        What `predict` gives: all results by name, or one array, the total energies in eV, as
        :func:`sklearn.model_selection.cross_val_predict` and scorers of scikit-learn take it.

    {Attributes}
    elements_ : ndarray of int
        Atomic numbers of the elements in the training set.
    references_ : ndarray of shape (n_elements,)
        Energy of reference of each of them, in eV.

    See Also
    --------
    TriForcesRegressor : Any property of structures.

    Notes
    -----
    With ``training__validation_fraction``, ``net_.history`` also has mean absolute errors on the
    rows kept: "valid_energy_meV_per_atom", "valid_forces_meV_per_A", "valid_stress_meV_per_A3".

    References
    ----------
    .. [1] TriForces, arXiv:2605.20581, ICML 2026.
    .. [2] J. F. Ziegler et al., "The stopping and range of ions in solids", Pergamon (1985).

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
    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    repulsion: bool = True
    output: str = "all"
    unknown_elements: str = "raise"

    _schedule = AutomaticSchedule(n_steps=4000, n_rows=100, n_batches=40, smallest=2, largest=16)
    _parameter_constraints = {
        "energy_weight": [Interval(Real, 0, None, closed="left")],
        "forces_weight": [Interval(Real, 0, None, closed="left")],
        "stress_weight": [Interval(Real, 0, None, closed="left")],
        "energy_key": [str, None],
        "forces_key": [str, None],
        "stress_key": [str, None],
        "repulsion": ["boolean"],
        "output": [StrOptions({"all", "energy"})],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags

    def fit(self, X, y=None):  # type: ignore[override]
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
        ValueError, FloatingPointError, KeyboardInterrupt
            If a structure cannot be used, or carries no results or those of other positions; if
            the loss diverges; after an interruption, with the weights reached so far.
        """
        X = X if isinstance(X, CrystalGraphs) else as_value_list(X, "structures")
        graphs = self._read_training(X)
        counts = graphs.counts("atom")
        targets = read_targets(X, y, counts, self._keys())
        self.architecture_ = self.options("network")._encoder() | {"repulsion": self.repulsion}
        own = self._own_results(graphs)
        rest = targets if own is None else {name: targets[name] - own[name] for name in targets}
        self.elements_, self.references_, energies = _fit_references(
            graphs, rest["energy"], robust=own is not None
        )
        # Without the references, as single precision has no digits for energies of all electrons.
        learned = targets["energy"] - rest["energy"] + energies * counts
        rest = rest | {"energy": energies}
        scales = {f"{name}_scale": _spread(rest[name], least) for name, least in _NOISE.items()}
        self.architecture_ |= {"scale": scales["forces_scale"]}
        dataset = StructureDataset(
            graphs,
            to_batch,
            {"energy": learned, "stress": targets["stress"], "n_atoms": counts},
            {"forces": targets["forces"]},
            device=resolve_device(self.device),
        )
        weights = {f"{name}_weight": getattr(self, f"{name}_weight") for name in RESULTS}
        self._train(dataset, lambda: PotentialLoss(**weights, **scales))
        return self

    def _own_results(self, graphs):
        """Results of a potential that reads energies itself, before it learns; None without one."""
        potential = as_potential(self.architecture_["backbone"])
        in_use = "interaction" in self.architecture_["streams"]
        if potential is None or not potential.has_readout or not in_use:
            return None
        with drawing_from(0):
            module = self._build(self.architecture_ | {"scale": 1.0}).eval()
        return self._evaluate_with([module.to(resolve_device(self.device))], graphs)

    def _keys(self):
        return {name: getattr(self, f"{name}_key") for name in RESULTS}

    def _build(self, architecture):
        streams = build_encoder(architecture)
        # Files of earlier snapshots know of no repulsion.
        repulsion = architecture["cutoff"] if architecture.get("repulsion") else None
        width, scale = architecture["hidden_dim"], architecture["scale"]
        head = EnergyHead(streams.widths, width, scale, repulsion)
        return PotentialNetwork(streams, head)

    def _parts_of(self, net):
        return [self._set_references(part) for part in super()._parts_of(net)]

    def __setstate__(self, state):
        super().__setstate__(state)
        for net in getattr(self, "nets_", ()):
            self._set_references(net)

    def _set_references(self, net):
        """Give a net the energies of reference, in double precision where the device has it."""
        head = net.module_.head
        device = head.references.device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        head.references = torch.zeros(len(head.references), dtype=dtype, device=device)
        places = torch.as_tensor(self.elements_, device=device)
        head.references[places] = torch.as_tensor(self.references_, dtype=dtype, device=device)
        return net

    @property
    def _closest(self):
        """Least distance of atoms in a prediction."""
        return _CLOSEST if self.architecture_.get("repulsion") else SHORTEST_BOND

    def _modules(self, dtype):
        """Networks, or copies of them in another precision."""
        if dtype not in ("float64", "float32", None):
            raise ValueError(f'dtype must be "float64", "float32" or None, but is {dtype!r}.')
        modules = [net.module_ for net in self.nets_]
        own = next(modules[0].parameters())
        wanted = own.dtype if dtype is None else getattr(torch, dtype)
        if wanted == own.dtype == torch.float64:
            return modules
        modules = [copy.deepcopy(module).to(wanted) for module in modules]
        for module, net in zip(modules, self.nets_, strict=True):
            # Large energies, and sums over many atoms, stay in double precision.
            module.head.references = net.module_.head.references
        return modules

    def predict(self, X, as_frame=False, return_std=False, dtype=None):
        """Predict energies, forces and stresses.

        Parameters
        ----------
        X : CrystalGraphs or array-like of structures, of length n_samples
            Structures of elements in the training set.
        as_frame : bool, default=False
            Whether to return a DataFrame with a row for each structure.
        return_std : bool, default=False
            Whether to give the standard deviations of energies and forces over members too.
        dtype : {"float64", "float32"} or None, default=None
            Precision of the networks; None is that of ``training__precision``, which is double on
            a CPU. Single precision is about twice as fast; energies then differ by less than
            0.1 meV/atom, forces by less than 1 meV/Å.

        Returns
        -------
        results : dict, DataFrame or ndarray of shape (n_samples,)
            "energy": ndarray of shape (n_samples,), total energies in eV. "energies": list of
            ndarrays of shape (n_atoms,), which add up to them. "forces": list of ndarrays of
            shape (n_atoms, 3), in eV/Å. "stress": ndarray of shape (n_samples, 6), in eV/Å³ and
            in the order xx, yy, zz, yz, xz, xy, NaN where a structure does not repeat in all
            directions. With `return_std`, "energy_std" and "forces_std" of the shapes of energy
            and forces. As a frame, every cell of the column "stress" is an array of six. With
            ``output="energy"``, and not as a frame, the array of energies, and with `return_std`
            the pair of it and their deviations.

        Raises
        ------
        ValueError
            If a structure has an element that the training set had not and
            ``unknown_elements="raise"``, or a standard deviation is asked of one network.
        """
        check_is_fitted(self)
        if return_std and len(self.nets_) == 1:
            raise ValueError(
                "return_std=True needs several networks, whose spread it is; set n_members=4 or "
                "more and fit again."
            )
        graphs = self._connect(X, min_distance=self._closest)
        results = self._evaluate(graphs, dtype)
        for name in _OF_ATOMS & set(results):
            results[name] = np.split(results[name], graphs.offsets["atom"][1:])[:-1]
        results["stress"] = matrix_to_voigt(results["stress"])
        if not return_std:
            results = {name: values for name, values in results.items() if "_std" not in name}
        if as_frame:
            return pd.DataFrame({name: list(values) for name, values in results.items()})
        if self.output == "all":
            return results
        return (results["energy"], results["energy_std"]) if return_std else results["energy"]

    def _evaluate(self, graphs, dtype=None):
        """Results of all structures, as flat arrays by name."""
        self._check_elements(graphs)
        return self._evaluate_with(self._modules(dtype), graphs)

    def _evaluate_with(self, modules, graphs):
        results = {}
        for name, shape in _SHAPES.items():
            if len(modules) > 1 or "_std" not in name:
                n_rows = len(graphs.positions if name in _OF_ATOMS else graphs)
                results[name] = np.full((n_rows, *shape), np.nan)
        for rows, atoms, batch in self._predict_batches(graphs, modules[0]):
            for name, values in evaluate(modules, batch).items():
                results[name][atoms if name in _OF_ATOMS else rows] = values.cpu().numpy()
        results["stress"][~graphs.pbc.all(axis=1)] = np.nan
        return results

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
        X = X if isinstance(X, CrystalGraphs) else as_value_list(X, "structures")
        graphs = self._connect(X, min_distance=self._closest)
        counts = graphs.counts("atom")
        targets, results = read_targets(X, y, counts, self._keys()), self._evaluate(graphs)
        true, predicted = targets["forces"], results["forces"]
        if not np.isfinite(true).any():
            true, predicted = targets["energy"] / counts, results["energy"] / counts
        known = np.isfinite(true)
        return float(r2_score(true[known], predicted[known]))

    def calculator(self, skin=0.5, dtype=None):
        """Make an ASE calculator.

        Parameters
        ----------
        skin : float, default=0.5
            Neighbours are found within the cutoff and this, in Å, and found anew only when an
            atom has moved by half of it, or the cell or its directions of repetition changed.
        dtype : {"float64", "float32"} or None, default=None
            Precision of the networks, as for `predict`.

        Returns
        -------
        calculator : ase.calculators.calculator.Calculator
            With energy, energies of atoms, free energy, forces and, for structures that repeat in
            all directions, stress, for relaxations and molecular dynamics. If there are several
            members, ``results`` also holds "energy_std" and "forces_std", their spread.
        """
        check_is_fitted(self)
        return make_calculator(self, skin, dtype)

    def torch_sim_model(self, skin=0.5, dtype=None):
        """Make a model of torch-sim, for dynamics and relaxations of many structures at once.

        Parameters
        ----------
        skin : float, default=0.5
            As for :meth:`calculator`.
        dtype : {"float64", "float32"} or None, default=None
            Precision of the networks, as for `predict`, and of the states.

        Returns
        -------
        model : torch_sim.models.interface.ModelInterface
            With energies, forces and stresses, on the potential's device.

        Raises
        ------
        ImportError
            If torch-sim is not installed (``pip install torch-sim-atomistic``).
        """
        check_is_fitted(self)
        return make_torch_sim_model(self, skin, dtype)


def _fit_references(graphs, energies, *, robust):
    """Elements, energies of reference of their atoms, and what these leave of energies per atom.

    A `robust` fit is for what a potential leaves: little, but for some frames far off.
    """
    elements, counts = np.unique(graphs.atomic_numbers), graphs.counts("atom")
    shares = np.zeros((len(graphs), len(elements)))
    places = np.searchsorted(elements, graphs.atomic_numbers)
    np.add.at(shares, (graphs.rows("atom"), places), 1)
    shares, energies = shares / counts[:, None], energies / counts
    known = np.isfinite(energies)
    references = np.zeros(len(elements))
    if known.any():
        center = np.median(energies[known])
        rows, rest = shares[known], energies[known] - center
        if robust:
            line = HuberRegressor(alpha=_PENALTY, fit_intercept=False, max_iter=2000)
            references = center + line.fit(rows, rest).coef_
        else:
            # The smallest solution, where compositions hardly tell elements apart.
            references = center + np.linalg.lstsq(rows, rest, rcond=_LEAST)[0]
    return elements, references, energies - shares @ references


def _spread(values, least):
    """Root mean square of known values; one if there are none or it is less than the least."""
    known = values[np.isfinite(values)]
    spread = float(np.sqrt(np.mean(np.square(known)))) if len(known) else 0.0
    return spread if spread > least else 1.0
