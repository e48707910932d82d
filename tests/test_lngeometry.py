"""The tools of the claims about geometry: derivatives by a complex step, and RMSNorm."""

from __future__ import annotations

import numpy as np
import torch
from tools import close, torch_vjp

from nnbook.claims._layernorm_module import complex_jacobian, ln_complex
from nnbook.claims.lngeometry import rms_norm
from nnbook.scratch import ln_s, ln_s_vjp


def test_a_complex_step_finds_the_jacobian_of_a_map_that_is_not_symmetric(rng):
    A, z = rng.normal(size=(3, 5)), rng.normal(size=5)
    close(complex_jacobian(lambda x: (A @ x) ** 2, z), 2 * (A @ z)[:, None] * A)


def test_layer_norm_written_for_complex_numbers_is_layer_norm(rng):
    z = rng.normal(size=6)
    close(ln_complex(z), ln_s(z))
    close(ln_complex(z, 0.3), ln_s(z, 0.3))
    J = complex_jacobian(lambda x: ln_complex(x, 0.3), z)
    close(J, ln_s_vjp(np.eye(6), np.tile(z, (6, 1)), 0.3))


def test_rms_norm_is_that_of_torch(rng):
    z, v = rng.normal(size=(2, 5))
    expected, (grad,) = torch_vjp(lambda z: torch.nn.functional.rms_norm(z, (5,), eps=0.0), (z,), v)
    close(rms_norm(z), expected)
    J = complex_jacobian(lambda x: x / np.sqrt((x * x).mean()), z)
    close(J.T @ v, grad)
