"""One runner for all benchmarks: ``python -m benchmarks --help``."""
