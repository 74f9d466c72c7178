"""Suites of benchmarks: each module defines ``SUITE``."""
