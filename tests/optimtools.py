"""What the tests of the optimizers share: one problem, run by ours and by torch's."""

from __future__ import annotations

import torch

SHAPES = ((3, 4), (5,), (), (2, 1, 6))


def problem(seed=0, dtype=torch.float64):
    """Return parameters of several shapes, the last of which gets no gradient at first."""
    gen = torch.Generator().manual_seed(seed)
    params = [torch.randn(s, generator=gen, dtype=torch.float64).to(dtype) for s in SHAPES]
    return [torch.nn.Parameter(p) for p in params]


def gradients(params, step, scale=1.0):
    """Give every parameter a gradient that depends on it and on the step; some steps skip one."""
    gen = torch.Generator().manual_seed(1000 + step)
    for i, p in enumerate(params):
        noise = torch.randn(p.shape, generator=gen, dtype=torch.float64)
        target = torch.randn(p.shape, generator=gen, dtype=torch.float64)
        g = scale * ((p.detach().double() - target) * (i + 1) + 0.3 * noise)
        p.grad = None if i == 3 and step % 4 == 0 else g.to(p.dtype)


def run(params, optimizer, steps=12, first=0, scale=1.0):
    """Take steps and return the parameters after each of them."""
    path = []
    for step in range(first, first + steps):
        gradients(params, step, scale)
        optimizer.step()
        path.append([p.detach().clone() for p in params])
    return path


def assert_same(ours, theirs, rtol=1e-12):
    """Fail unless two paths are the same."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        for p, q in zip(a, b, strict=True):
            torch.testing.assert_close(p, q, rtol=rtol, atol=rtol)
