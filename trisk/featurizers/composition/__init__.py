"""Formulas → numbers."""
