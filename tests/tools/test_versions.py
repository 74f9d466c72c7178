"""Declared lower bounds are those that are tested."""

import re

from packaging.version import Version

from tools.versions import MINIMUM, declared, torch_version


def _name(text):
    return re.sub(r"[-_.]+", "-", text).lower()


def test_lower_bounds_are_the_versions_of_the_minimum_environment():
    lines = re.findall(r"^([\w.-]+)==(\S+)$", MINIMUM.read_text(), re.MULTILINE)
    pins = {_name(name): Version(version) for name, version in lines}
    assert pins.pop("torch") == Version(torch_version())
    for name, lowest in declared().items():
        if name != "torch":  # the only small build at hand is newer than its bound
            assert pins[_name(name)] == Version(lowest), name
