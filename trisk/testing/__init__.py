"""Checks that any estimator for crystal structures should pass, ours and others'."""

from trisk.testing._checks import check_structure_estimator, structure_estimator_checks
from trisk.testing._structures import make_structures

__all__ = ["check_structure_estimator", "make_structures", "structure_estimator_checks"]
