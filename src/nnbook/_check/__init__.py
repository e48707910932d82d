"""Every error about an argument: one function per rule, shared by both forms of a module.

A message says who complains, what was got, what is wanted and what to do. The first argument of
each function, ``who``, is the name that the caller sees, such as ``"LayerNorm"``.

A file for each topic: who changes a rule of one topic has only the pages of this topic executed.
"""
