from .activations import (
    elu as elu,
)
from .activations import (
    elu_derivative as elu_derivative,
)
from .activations import (
    elu_vjp as elu_vjp,
)
from .activations import (
    gelu as gelu,
)
from .activations import (
    gelu_derivative as gelu_derivative,
)
from .activations import (
    gelu_vjp as gelu_vjp,
)
from .activations import (
    leaky_relu as leaky_relu,
)
from .activations import (
    leaky_relu_derivative as leaky_relu_derivative,
)
from .activations import (
    leaky_relu_vjp as leaky_relu_vjp,
)
from .activations import (
    log_softmax as log_softmax,
)
from .activations import (
    log_softmax_vjp as log_softmax_vjp,
)
from .activations import (
    log_sum_exp as log_sum_exp,
)
from .activations import (
    log_sum_exp_vjp as log_sum_exp_vjp,
)
from .activations import (
    relu as relu,
)
from .activations import (
    relu_derivative as relu_derivative,
)
from .activations import (
    relu_vjp as relu_vjp,
)
from .activations import (
    sigmoid as sigmoid,
)
from .activations import (
    sigmoid_derivative as sigmoid_derivative,
)
from .activations import (
    sigmoid_vjp as sigmoid_vjp,
)
from .activations import (
    silu as silu,
)
from .activations import (
    silu_derivative as silu_derivative,
)
from .activations import (
    silu_vjp as silu_vjp,
)
from .activations import (
    softmax as softmax,
)
from .activations import (
    softmax_vjp as softmax_vjp,
)
from .activations import (
    tanh as tanh,
)
from .activations import (
    tanh_derivative as tanh_derivative,
)
from .activations import (
    tanh_vjp as tanh_vjp,
)
from .approximation import (
    relu_interpolant as relu_interpolant,
)
from .approximation import (
    relu_network as relu_network,
)
from .approximation import (
    tent_network as tent_network,
)
from .batchnorm import (
    batch_norm as batch_norm,
)
from .batchnorm import (
    batch_norm_vjp as batch_norm_vjp,
)
from .batchnorm import (
    bn_s as bn_s,
)
from .batchnorm import (
    bn_s_vjp as bn_s_vjp,
)
from .classification import (
    bce as bce,
)
from .classification import (
    bce_vjp as bce_vjp,
)
from .classification import (
    bce_with_logits as bce_with_logits,
)
from .classification import (
    bce_with_logits_vjp as bce_with_logits_vjp,
)
from .classification import (
    cross_entropy as cross_entropy,
)
from .classification import (
    cross_entropy_vjp as cross_entropy_vjp,
)
from .classification import (
    nll as nll,
)
from .classification import (
    nll_vjp as nll_vjp,
)
from .composition import (
    Map as Map,
)
from .composition import (
    bind as bind,
)
from .composition import (
    identity as identity,
)
from .composition import (
    parallel as parallel,
)
from .composition import (
    residual as residual,
)
from .composition import (
    sequential as sequential,
)
from .denselayer import (
    Operations as Operations,
)
from .denselayer import (
    count_operations as count_operations,
)
from .denselayer import (
    dense as dense,
)
from .denselayer import (
    dense_vjp as dense_vjp,
)
from .denselayer import (
    matmul as matmul,
)
from .denselayer import (
    matmul_loops as matmul_loops,
)
from .denselayer import (
    matmul_vjp as matmul_vjp,
)
from .denselayer import (
    mm_operations as mm_operations,
)
from .divergences import (
    focal as focal,
)
from .divergences import (
    focal_vjp as focal_vjp,
)
from .divergences import (
    hinge as hinge,
)
from .divergences import (
    hinge_vjp as hinge_vjp,
)
from .divergences import (
    kl_div as kl_div,
)
from .divergences import (
    kl_div_vjp as kl_div_vjp,
)
from .divergences import (
    multi_margin as multi_margin,
)
from .divergences import (
    multi_margin_vjp as multi_margin_vjp,
)
from .groupnorm import (
    group_norm as group_norm,
)
from .groupnorm import (
    group_norm_vjp as group_norm_vjp,
)
from .groupnorm import (
    instance_norm as instance_norm,
)
from .groupnorm import (
    instance_norm_vjp as instance_norm_vjp,
)
from .groupnorm import (
    rms_norm as rms_norm,
)
from .groupnorm import (
    rms_norm_vjp as rms_norm_vjp,
)
from .initial import (
    he_normal as he_normal,
)
from .initial import (
    he_uniform as he_uniform,
)
from .initial import (
    xavier_normal as xavier_normal,
)
from .initial import (
    xavier_uniform as xavier_uniform,
)
from .layernorm import (
    layer_norm as layer_norm,
)
from .layernorm import (
    layer_norm_vjp as layer_norm_vjp,
)
from .layernorm import (
    ln_s as ln_s,
)
from .layernorm import (
    ln_s_vjp as ln_s_vjp,
)
from .linear import (
    mm as mm,
)
from .linear import (
    mm_parameters as mm_parameters,
)
from .linear import (
    mm_vjp as mm_vjp,
)
from .losses import (
    huber as huber,
)
from .losses import (
    huber_vjp as huber_vjp,
)
from .losses import (
    l1 as l1,
)
from .losses import (
    l1_vjp as l1_vjp,
)
from .losses import (
    mse as mse,
)
from .losses import (
    mse_vjp as mse_vjp,
)
from .losses import (
    smooth_l1 as smooth_l1,
)
from .losses import (
    smooth_l1_vjp as smooth_l1_vjp,
)
from .runningstats import (
    batch_norm_eval as batch_norm_eval,
)
from .runningstats import (
    batch_norm_eval_vjp as batch_norm_eval_vjp,
)
from .runningstats import (
    fold_batch_norm as fold_batch_norm,
)
from .runningstats import (
    running_update as running_update,
)
