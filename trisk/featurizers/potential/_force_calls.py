"""Energies, forces and stresses from a calculator: in batches where it can, within a time limit."""

import time

import numpy as np


class TimeLimitError(RuntimeError):
    """A structure takes longer than it may."""


def make_calculator(source):
    """Give the calculator itself, or the one that a factory makes.

    Parameters
    ----------
    source : ASE calculator, object with ``calculate_many``, fitted potential, or callable
        A callable without arguments that returns one of the others counts as a factory.

    Returns
    -------
    object
        The calculator.

    Raises
    ------
    TypeError
        If there is none.
    """
    calculator = source() if is_factory(source) else source
    if not is_calculator(calculator):
        raise TypeError(
            f"{calculator!r:.80} is no calculator: it has neither get_potential_energy nor "
            "calculate_many; pass an ASE calculator, a function without arguments that makes one, "
            "or a fitted TriForcesPotential"
        )
    return calculator


def is_calculator(source):
    """Tell an object that computes forces from one that does not.

    Parameters
    ----------
    source : object
        Anything.

    Returns
    -------
    bool
        Whether it is an ASE calculator, has ``calculate_many`` or is a trisk potential.
    """
    known = ("get_potential_energy", "calculate_many")
    return not isinstance(source, type) and (
        any(hasattr(source, name) for name in known) or is_potential(source)
    )


def is_potential(source):
    """Tell an estimator of energies, forces and stresses, fitted or not.

    Parameters
    ----------
    source : object
        Anything.

    Returns
    -------
    bool
        Whether it predicts and makes ASE calculators.
    """
    return hasattr(source, "predict") and hasattr(source, "calculator")


def is_factory(source):
    """Tell a function or class that makes a calculator from a calculator.

    Parameters
    ----------
    source : object
        Anything.

    Returns
    -------
    bool
        Whether it can be called and is no calculator itself.
    """
    return callable(source) and not is_calculator(source)


class ForceCalls:
    """Evaluates one calculator for lists of structures.

    Parameters
    ----------
    calculator : ASE calculator, object with ``calculate_many`` or fitted potential
        ``calculate_many(images)``, where there is one, takes a list of ASE ``Atoms`` and gives a
        list of dicts with "energy" (eV), "forces" (eV/Å) and, if it can, "stress" (eV/Å³, in
        ASE's order and sign).
    batch_atoms : int
        Atoms that one batch holds at most, unless a single structure has more.
    time_limit : float or None
        Seconds from now after which no further call is made.
    """

    def __init__(self, calculator, batch_atoms, time_limit=None):
        self.calculator = calculator
        self.batch_atoms = batch_atoms
        self.time_limit = time_limit
        self._deadline = None if time_limit is None else time.monotonic() + time_limit

    def check_time(self):
        """Raise once the time is up.

        Raises
        ------
        TimeLimitError
            Saying how to allow more.
        """
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise TimeLimitError(
                f"it took longer than time_limit={self.time_limit:g} s; allow more time, or ask "
                "for fewer sensors"
            )

    def __call__(self, images):
        """Evaluate structures of one size.

        Parameters
        ----------
        images : list of Atoms
            Structures of equally many atoms.

        Returns
        -------
        energies : ndarray of shape (n_images,)
            In eV.
        forces : ndarray of shape (n_images, n_atoms, 3)
            In eV/Å.
        stresses : ndarray of shape (n_images, 6)
            In eV/Å³, NaN where the calculator gives none.
        """
        if hasattr(self.calculator, "calculate_many"):
            calculate_many = self.calculator.calculate_many
        elif is_potential(self.calculator):
            calculate_many = self._predict
        else:
            calculate_many = self._calculate_each
        size = max(1, self.batch_atoms // len(images[0]))
        if calculate_many == self._calculate_each:
            size = 1  # so that the time is checked after every call
        results = []
        for start in range(0, len(images), size):
            self.check_time()
            results += calculate_many(images[start : start + size])
        forces = np.array([result["forces"] for result in results], dtype=float)
        energies = np.array([result["energy"] for result in results], dtype=float)
        if not (np.isfinite(forces).all() and np.isfinite(energies).all()):
            raise ValueError("the potential gives energies or forces that are not finite")
        missing = np.full(6, np.nan)
        return energies, forces, np.array([result.get("stress", missing) for result in results])

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
        """Give an ASE calculator that keeps to the time limit.

        Returns
        -------
        Calculator
            For ASE's optimizers.
        """
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
