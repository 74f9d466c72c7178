"""Models on disk: one safetensors file that holds arrays and JSON, and no code.

A file written by :func:`save` is a plain safetensors file. Its metadata carry a JSON description
of the object (class, parameters, fitted attributes, version) and a checksum of everything.
:func:`load` builds objects of a fixed list of classes only; nothing in a file is ever executed.
"""

from trisk.persistence._files import FORMAT, load, save
from trisk.persistence._reader import ModelFileError

__all__ = ["FORMAT", "ModelFileError", "load", "save"]
