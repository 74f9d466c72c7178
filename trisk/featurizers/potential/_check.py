"""verify_potential: known energies show whether weights were loaded rightly."""

from trisk.featurizers.potential._force_calls import ForceCalls, make_calculator


def verify_potential(calculator, references, *, tolerance=0.005):
    """Compare energies of a potential with those it is known to give.

    Weights that another version of a library reads without complaint can mean something else
    there; two energies show it.

    Parameters
    ----------
    calculator : ASE calculator, callable or object with ``calculate_many``
        The potential, or a function that makes it.
    references : sequence of tuple (Atoms, float)
        Structures and their energies in eV/atom, from where the weights were published.
    tolerance : float, default=0.005
        Largest difference in eV/atom.

    Raises
    ------
    ValueError
        If an energy differs by more.

    Examples
    --------
    >>> from ase.build import bulk
    >>> from ase.calculators.emt import EMT
    >>> from trisk.featurizers import verify_potential
    >>> verify_potential(EMT(), [(bulk("Cu"), -0.006), (bulk("Au"), 0.003)])
    """
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
