"""Reading one formula at a time: brackets, spaces, exponents, and errors that say what is wrong."""

import difflib
import math
import re

from trisk.structures.elements import ATOMIC_NUMBERS, ELEMENT_SYMBOLS

#: A longer formula, or one with deeper brackets, is refused: it is a mistake, not a material.
MAX_FORMULA_LENGTH = 10_000
MAX_NESTING = 32

#: Smaller amounts count as absent, as in pymatgen.
AMOUNT_TOLERANCE = 1e-8
#: Larger ones are a mistake, and the squares of much larger ones would overflow.
MAX_AMOUNT = 1e50

# Each alternative starts with a different character, so a scan is linear in the length.
_NUMBER = r"((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e-?[0-9]+)?)?"
_TOKEN = re.compile(rf"([A-Z][a-z]*)\s*{_NUMBER}|(\()|\)\s*{_NUMBER}|\s+")
_BRACKETS = str.maketrans("[]{}", "()()", "@")


class FormulaError(ValueError):
    """A value that cannot be read as a composition; the message says why."""


def parse_formula(formula):
    """Read a chemical formula into atomic numbers and amounts.

    Parameters
    ----------
    formula : str
        For example ``"Fe2O3"``, ``"Ca3[Si(OH)6]2"`` or ``"Fe0.62 Ni.38"``.

    Returns
    -------
    dict of int to float
        Atomic number → amount, in order of first appearance.

    Raises
    ------
    FormulaError
        Naming what could not be read and, where possible, what may have been meant.
    """
    if len(formula) > MAX_FORMULA_LENGTH:
        raise FormulaError(
            f"it has {len(formula)} characters; the limit is {MAX_FORMULA_LENGTH} per formula"
        )
    text = formula.translate(_BRACKETS)
    if not text.strip():
        raise FormulaError("it is empty")
    groups: list[list[tuple[int, float]]] = [[]]
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise FormulaError(_explain(text, position))
        symbol, amount, opening, factor = token.groups()
        if symbol:
            groups[-1].append((_atomic_number(symbol, text, position), float(amount or 1)))
        elif opening:
            groups.append([])
            if len(groups) > MAX_NESTING + 1:
                raise FormulaError(f"its brackets are nested deeper than {MAX_NESTING} levels")
        elif token.group()[0] == ")":
            _close_group(groups, float(factor or 1))
        position = token.end()
    if len(groups) > 1:
        raise FormulaError("a bracket is opened but never closed")
    return clean_amounts(groups[0])


def clean_amounts(pairs):
    """Merge repeated elements, drop absent ones and refuse impossible amounts.

    Parameters
    ----------
    pairs : iterable of (int, float)
        Atomic numbers and amounts.

    Returns
    -------
    dict of int to float
        Atomic number → amount, in order of first appearance, all amounts positive.

    Raises
    ------
    FormulaError
        When an amount is negative, too large or not finite, or nothing is left.
    """
    merged: dict[int, float] = {}
    for z, amount in pairs:
        if amount < -AMOUNT_TOLERANCE:
            raise FormulaError(
                f"the amount of {ELEMENT_SYMBOLS[z - 1]} is {amount:g}; amounts cannot be negative"
            )
        merged[z] = merged.get(z, 0.0) + amount
    total = sum(merged.values())
    if not math.isfinite(total):
        raise FormulaError("its amounts are not finite numbers")
    if total > MAX_AMOUNT:
        raise FormulaError(f"its amounts sum to {total:.3g}; the limit is {MAX_AMOUNT:.0e}")
    present = {z: amount for z, amount in merged.items() if amount >= AMOUNT_TOLERANCE}
    if not present:
        raise FormulaError("it holds no atoms: every amount is zero")
    return present


def unknown_element(symbol, context=""):
    """Say that a symbol is no element, with the likeliest intended ones.

    Parameters
    ----------
    symbol : str
        The unknown symbol.
    context : str
        The character before it, to recognise ``"FE"`` as iron.

    Returns
    -------
    str
        The message.
    """
    likely = [symbol.capitalize()] if symbol.capitalize() in ATOMIC_NUMBERS else []
    if context + symbol.lower() in ATOMIC_NUMBERS:
        likely.append(context + symbol.lower())
    likely += difflib.get_close_matches(symbol[:8].capitalize(), ELEMENT_SYMBOLS, n=3, cutoff=0.5)
    likely = list(dict.fromkeys(likely))[:3]
    hint = f" (did you mean {' or '.join(map(repr, likely))}?)" if likely else ""
    return f"unknown element {symbol[:20]!r}{hint}"


def _atomic_number(symbol, text, position):
    number = ATOMIC_NUMBERS.get(symbol)
    if number is None:
        raise FormulaError(unknown_element(symbol, text[position - 1 : position]))
    return number


def _close_group(groups, factor):
    if len(groups) == 1:
        raise FormulaError("a bracket is closed that was never opened")
    if not groups[-1]:
        raise FormulaError("it has an empty pair of brackets")
    merged: dict[int, float] = {}
    for z, amount in groups.pop():
        merged[z] = merged.get(z, 0.0) + amount * factor
    groups[-1].extend(merged.items())


def _explain(text, position):
    """Describe the first character that no rule of a formula allows."""
    rest = text[position:]
    character = rest[0]
    lower = re.match(r"[a-z]+", rest)
    if lower:
        hint = unknown_element(lower.group(), text[position - 1 : position])
        return f"{hint}; a symbol starts with a capital letter"
    if character in "+-" or (character == "^"):
        return (
            f"{character!r} at character {position + 1}: charges and negative amounts are not "
            "understood; give the neutral formula"
        )
    if character in "·•*⋅":
        return f"{character!r} is not understood; write CuSO4·5H2O as CuSO4(H2O)5"
    if character in "₀₁₂₃₄₅₆₇₈₉":
        return f"{character!r} is a subscript; write amounts with plain digits, as in Fe2O3"
    if character in "0123456789.":
        n_digits = len(rest) - len(rest.lstrip("0123456789."))
        return f"the number {rest[: min(n_digits, 12)]!r} does not follow an element or a bracket"
    return f"{character!r} at character {position + 1} does not belong in a formula"
