from .activations import (
    ELU as ELU,
    GELU as GELU,
    LeakyReLU as LeakyReLU,
    LogSoftmax as LogSoftmax,
    ReLU as ReLU,
    SiLU as SiLU,
    Sigmoid as Sigmoid,
    Softmax as Softmax,
    Tanh as Tanh,
    elu as elu,
    gelu as gelu,
    leaky_relu as leaky_relu,
    log_softmax as log_softmax,
    relu as relu,
    sigmoid as sigmoid,
    silu as silu,
    softmax as softmax,
    tanh as tanh,
)
from . import init as init
from .linear import (
    Linear as Linear,
    affine as affine,
)
from .composition import (
    Identity as Identity,
    MLP as MLP,
    Parallel as Parallel,
    Residual as Residual,
    Sequential as Sequential,
    Skip as Skip,
    combine as combine,
    mlp_parameters as mlp_parameters,
)
from .tracing import (
    Edge as Edge,
    Fork as Fork,
    Graph as Graph,
    Node as Node,
    trace as trace,
)
from .layernorm import (
    LayerNorm as LayerNorm,
    layer_norm as layer_norm,
)
