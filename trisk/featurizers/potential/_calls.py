"""Energies, forces and stresses from a calculator: in batches where it can, within a time limit."""

import time

import numpy as np

# Energies in eV/atom of silicon (a = 5.43 Å) and of MgO (4.21 Å) that known weights give.
_KNOWN = {
    "chgnet": (-5.312, -6.310),
    "chgnet-r2scan": (-8.733, -8.040),
    "sevennet-0": (-5.401, -5.973),
    "7net-l3i5": (-5.422, -5.975),
    "nequix-oam-1": (-5.416, -5.978),
    "nequix-mp-1": (-5.417, -5.973),
}


class TimeLimitError(RuntimeError):
    """A structure takes longer than it may."""


def make_calculator(source):
    """Give the calculator itself, or the one that a function without arguments makes."""
    calculator = source() if is_factory(source) else source
    if not is_calculator(calculator):
        raise TypeError(
            f"{calculator!r:.80} is no calculator: it has neither get_potential_energy nor "
            "calculate_many; pass an ASE calculator, a function without arguments that makes one, "
            "or a fitted TriForcesPotential"
        )
    return calculator


def is_calculator(source):
    """Whether an object is an ASE calculator, has ``calculate_many`` or is a trisk potential."""
    known = ("get_potential_energy", "calculate_many")
    return not isinstance(source, type) and (
        any(hasattr(source, name) for name in known) or is_potential(source)
    )


def is_potential(source):
    """Whether an object is an estimator of energies and forces, fitted or not."""
    return hasattr(source, "predict") and hasattr(source, "calculator")


def is_factory(source):
    """Whether a function or class makes a calculator and is none itself."""
    return callable(source) and not is_calculator(source)


class ForceCalls:
    """Evaluates one calculator for lists of structures of one size.

    At most ``batch_atoms`` atoms go into one call of ``calculate_many``, unless a single
    structure has more; after ``time_limit`` seconds from now no further call is made.
    """

    def __init__(self, calculator, batch_atoms, time_limit=None):
        self.calculator = calculator
        self.batch_atoms = batch_atoms
        self.time_limit = time_limit
        self._deadline = None if time_limit is None else time.monotonic() + time_limit

    def check_time(self):
        """Raise once the time is up."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise TimeLimitError(
                f"it took longer than time_limit={self.time_limit:g} s; allow more time, or ask "
                "for fewer sensors"
            )

    def __call__(self, images):
        """Energies in eV, forces in eV/Å and stresses in eV/Å³, NaN where there is no stress."""
        results, missing = self._results(images), np.full(6, np.nan)
        forces = np.array([result["forces"] for result in results], dtype=float)
        stresses = np.array([result.get("stress", missing) for result in results])
        return _energies(results), _finite(forces), stresses

    def energies(self, images):
        """Energies in eV."""
        return _energies(self._results(images))

    def _results(self, images):
        """Results by name of each structure."""
        size = max(1, self.batch_atoms // len(images[0]))
        if hasattr(self.calculator, "calculate_many"):
            calculate_many = self.calculator.calculate_many
        elif is_potential(self.calculator):
            calculate_many = self._predict
        else:
            calculate_many = self._calculate_each
            size = 1  # so that the time is checked after every call
        results = []
        for start in range(0, len(images), size):
            self.check_time()
            results += calculate_many(images[start : start + size])
        return results

    def _calculate_each(self, images):
        """Results of an ASE calculator."""
        results = []
        for image in images:
            atoms = image.copy()
            atoms.calc = self.calculator
            result = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
            if "stress" in getattr(self.calculator, "implemented_properties", ()):
                result["stress"] = atoms.get_stress()
            results.append(result)
        return results

    def _predict(self, images):
        """Results of a fitted potential."""
        results = self.calculator.predict(images)
        return [
            {name: results[name][row] for name in ("energy", "forces", "stress")}
            for row in range(len(images))
        ]

    def as_ase_calculator(self):
        """An ASE calculator for optimizers, which keeps to the time limit."""
        from ase.calculators.calculator import Calculator, all_changes

        calls = self

        class _Calculator(Calculator):
            implemented_properties = ["energy", "forces", "stress"]

            def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
                super().calculate(atoms, properties, system_changes)
                energies, forces, stresses = calls([self.atoms])
                self.results = {
                    "energy": energies[0],
                    "free_energy": energies[0],
                    "forces": forces[0],
                    "stress": stresses[0],
                }

        return _Calculator()


def _energies(results):
    return _finite(np.array([result["energy"] for result in results], dtype=float))


def _finite(values):
    if not np.isfinite(values).all():
        raise ValueError("the potential gives energies or forces that are not finite")
    return values


def verify_potential(calculator, references, *, tolerance=0.005):
    """Compare energies of a potential with those that its weights were published with.

    Parameters
    ----------
    calculator : ASE calculator, callable or object with ``calculate_many``
        The potential, or a function that makes it.
    references : sequence of tuple (Atoms, float) or str
        Structures and their energies in eV/atom, from where the weights were published; or the
        name of weights of which trisk knows two: "chgnet", "chgnet-r2scan", "sevennet-0",
        "7net-l3i5", "nequix-oam-1" or "nequix-mp-1".
    tolerance : float, default=0.005
        Largest difference in eV/atom.

    Raises
    ------
    ValueError
        If an energy differs by more, or nothing is known of the name.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from trisk.featurizers import verify_potential
    >>> verify_potential(EMT(), [(bulk("Cu"), -0.006), (bulk("Au"), 0.003)])
    """
    if isinstance(references, str):
        if references not in _KNOWN:
            raise ValueError(
                f"trisk knows no energies of {references!r}, but of {', '.join(_KNOWN)}; give "
                "structures and energies."
            )
        from ase.build import bulk

        crystals = bulk("Si", a=5.43), bulk("MgO", "rocksalt", a=4.21)
        references = list(zip(crystals, _KNOWN[references], strict=True))
    calls = ForceCalls(make_calculator(calculator), batch_atoms=1)
    wrong = []
    for atoms, expected in references:
        energy = calls([atoms])[0][0] / len(atoms)
        if not abs(energy - expected) <= tolerance:
            wrong.append(f"{atoms.get_chemical_formula()}: {energy:.3f} instead of {expected:.3f}")
    if wrong:
        raise ValueError(
            f"the potential gives other energies than expected (eV/atom): {'; '.join(wrong)}. "
            "Check the weights, and the version of the library that loads them."
        )
