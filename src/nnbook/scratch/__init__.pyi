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
from .channels import (
    channel_matrix as channel_matrix,
)
from .channels import (
    conv_channels as conv_channels,
)
from .channels import (
    conv_channels_loops as conv_channels_loops,
)
from .channels import (
    conv_channels_vjp as conv_channels_vjp,
)
from .channels import (
    conv_parameters as conv_parameters,
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
from .conv1d import (
    conv1d_s as conv1d_s,
)
from .conv1d import (
    conv1d_s_loops as conv1d_s_loops,
)
from .conv1d import (
    conv1d_s_vjp as conv1d_s_vjp,
)
from .conv1d import (
    correlate1d as correlate1d,
)
from .conv1d import (
    correlate1d_transposed as correlate1d_transposed,
)
from .conv1d import (
    correlate1d_vjp as correlate1d_vjp,
)
from .conv1d import (
    output_size as output_size,
)
from .conv1d import (
    toeplitz as toeplitz,
)
from .conv1d import (
    windows as windows,
)
from .conv2d import (
    col2im as col2im,
)
from .conv2d import (
    conv2d as conv2d,
)
from .conv2d import (
    conv2d_loops as conv2d_loops,
)
from .conv2d import (
    conv2d_matrix as conv2d_matrix,
)
from .conv2d import (
    conv2d_s as conv2d_s,
)
from .conv2d import (
    conv2d_s_loops as conv2d_s_loops,
)
from .conv2d import (
    conv2d_s_vjp as conv2d_s_vjp,
)
from .conv2d import (
    conv2d_vjp as conv2d_vjp,
)
from .conv2d import (
    conv_transpose2d as conv_transpose2d,
)
from .conv2d import (
    im2col as im2col,
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
from .equivariance import (
    circulant as circulant,
)
from .equivariance import (
    conv1d_circular as conv1d_circular,
)
from .equivariance import (
    conv1d_circular_fft as conv1d_circular_fft,
)
from .equivariance import (
    conv1d_s_fft as conv1d_s_fft,
)
from .equivariance import (
    first_row as first_row,
)
from .equivariance import (
    shift as shift,
)
from .equivariance import (
    slide as slide,
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
from .pooling import (
    adaptive_avg_pool2d as adaptive_avg_pool2d,
)
from .pooling import (
    adaptive_avg_pool2d_vjp as adaptive_avg_pool2d_vjp,
)
from .pooling import (
    adaptive_bins as adaptive_bins,
)
from .pooling import (
    avg_pool2d as avg_pool2d,
)
from .pooling import (
    avg_pool2d_vjp as avg_pool2d_vjp,
)
from .pooling import (
    max_pool2d as max_pool2d,
)
from .pooling import (
    max_pool2d_vjp as max_pool2d_vjp,
)
