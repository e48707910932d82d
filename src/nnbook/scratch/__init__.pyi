from .activations import (
    elu as elu,
    elu_derivative as elu_derivative,
    elu_vjp as elu_vjp,
    gelu as gelu,
    gelu_derivative as gelu_derivative,
    gelu_vjp as gelu_vjp,
    leaky_relu as leaky_relu,
    leaky_relu_derivative as leaky_relu_derivative,
    leaky_relu_vjp as leaky_relu_vjp,
    log_softmax as log_softmax,
    log_softmax_vjp as log_softmax_vjp,
    log_sum_exp as log_sum_exp,
    log_sum_exp_vjp as log_sum_exp_vjp,
    relu as relu,
    relu_derivative as relu_derivative,
    relu_vjp as relu_vjp,
    sigmoid as sigmoid,
    sigmoid_derivative as sigmoid_derivative,
    sigmoid_vjp as sigmoid_vjp,
    silu as silu,
    silu_derivative as silu_derivative,
    silu_vjp as silu_vjp,
    softmax as softmax,
    softmax_vjp as softmax_vjp,
    tanh as tanh,
    tanh_derivative as tanh_derivative,
    tanh_vjp as tanh_vjp,
)
from .denselayer import (
    Operations as Operations,
    count_operations as count_operations,
    dense as dense,
    dense_vjp as dense_vjp,
    matmul as matmul,
    matmul_loops as matmul_loops,
    matmul_vjp as matmul_vjp,
    mm_operations as mm_operations,
)
from .initial import (
    he_normal as he_normal,
    he_uniform as he_uniform,
    xavier_normal as xavier_normal,
    xavier_uniform as xavier_uniform,
)
from .linear import (
    mm as mm,
    mm_parameters as mm_parameters,
    mm_vjp as mm_vjp,
)
from .approximation import (
    relu_interpolant as relu_interpolant,
    relu_network as relu_network,
    tent_network as tent_network,
)
from .composition import (
    Map as Map,
    bind as bind,
    identity as identity,
    parallel as parallel,
    residual as residual,
    sequential as sequential,
)
from .layernorm import (
    layer_norm as layer_norm,
    layer_norm_vjp as layer_norm_vjp,
    ln_s as ln_s,
    ln_s_vjp as ln_s_vjp,
)
