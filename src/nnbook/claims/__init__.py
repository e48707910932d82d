"""What the book asserts, as statements that run.

A claim is a labelled statement with its evidence: a proof in a chapter, an exact proof of the
algebra by SymPy, cases drawn by Hypothesis, a measurement with a band, or, for a statement that is
false, the smallest counterexample. `verify` and `refute` show a claim in a chapter or raise;
`nnbook.claims.pages` makes the ledger and the errata from the same registry.
"""

import lazy_loader as _lazy

from nnbook._packages import keep_names as _keep_names

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
_keep_names(__name__, __file__)
