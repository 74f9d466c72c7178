"""Fixtures of the featurizer tests."""

import gzip
import json
from functools import lru_cache

import pytest


@pytest.fixture(scope="session")
def matbench_formulas(matbench_dir):
    """Function from a composition task's short name to its list of formulas."""

    @lru_cache
    def read(task):
        with gzip.open(matbench_dir / f"matbench_{task}.json.gz") as file:
            content = json.load(file)
        return [row[content["columns"].index("composition")] for row in content["data"]]

    return read
