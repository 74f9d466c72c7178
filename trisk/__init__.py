"""Materials property prediction with scikit-learn's interface, strongest where data is scarce.

Public names are listed in ``__init__.pyi``, for ``lazy_loader`` as for type checkers: a name loads
its module, and torch or pymatgen with it, when it is first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
