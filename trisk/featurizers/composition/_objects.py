"""Reading one composition that is not a string: dict, Composition, Structure or Atoms."""

from collections.abc import Mapping

import numpy as np

from trisk.featurizers.composition._formula import FormulaError, clean_amounts, unknown_element
from trisk.structures.elements import ATOMIC_NUMBERS, N_ELEMENTS


def parse_object(value):
    """Read a composition that is not a string.

    Parameters
    ----------
    value : dict, Composition, Structure, Molecule or Atoms
        Known by what it offers, so that neither pymatgen nor ASE need be imported.

    Returns
    -------
    text : str
        The value, for messages.
    amounts : dict of int to float
        Atomic number → amount, in order of first appearance.

    Raises
    ------
    FormulaError
        Saying why it cannot be read.
    """
    if hasattr(value, "get_chemical_symbols"):  # ASE Atoms
        pairs = [(_element_number(number), 1.0) for number in value.numbers]
        return value.get_chemical_formula(), clean_amounts(pairs)
    composition = getattr(value, "composition", value)  # pymatgen Structure or Molecule
    if isinstance(composition, Mapping):
        pairs = [(_element_number(key), _amount(amount)) for key, amount in composition.items()]
        return describe_value(value), clean_amounts(pairs)
    if _is_missing(value):
        raise FormulaError("the value is missing")
    raise FormulaError(
        f"it is of type {type(value).__name__}; expected a formula string, a dict, a pymatgen "
        "Composition or Structure, or ASE Atoms"
    )


def _is_missing(value):
    not_a_number = isinstance(value, float | np.floating) and value != value
    return value is None or not_a_number or type(value).__name__ in ("NAType", "NaTType")


def _element_number(key):
    """Atomic number of a dict key: symbol, "Fe3+", atomic number, Element or Species."""
    if isinstance(key, str):
        symbol = key.strip().rstrip("+-0123456789.")
        if symbol in ATOMIC_NUMBERS:
            return ATOMIC_NUMBERS[symbol]
        raise FormulaError(unknown_element(key))
    number = getattr(key, "Z", key)
    if isinstance(number, int | float | np.number) and number in range(1, N_ELEMENTS + 1):
        return int(number)
    raise FormulaError(f"{str(key)[:20]!r} is not an element")


def _amount(amount):
    try:
        return float(amount)
    except (TypeError, ValueError):
        raise FormulaError(f"the amount {str(amount)[:20]!r} is not a number") from None


def describe_value(value):
    """Text of any value, for messages.

    Parameters
    ----------
    value : object
        Readable as a composition or not.

    Returns
    -------
    str
        The text, of any length.
    """
    try:
        composition = getattr(value, "composition", value)
        if isinstance(composition, Mapping) and not isinstance(composition, dict):
            return " ".join(f"{key}{amount}" for key, amount in composition.items())
        return value if isinstance(value, str) else repr(value)
    except Exception:  # a damaged object may not even be able to say what it is
        return type(value).__name__
