"""nnbook: the modules of neural networks, each a class you can import and a theorem you can check.

``nnbook.scratch`` holds NumPy functions, ``nnbook.nn`` and ``nnbook.optim`` drop-ins for
``torch.nn`` and ``torch.optim``, ``nnbook.claims`` what the book asserts, as statements that run.
Sub-packages load on first use, so that ``import nnbook`` costs a few milliseconds and does not
import torch.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__version__ = "0.1.0"
