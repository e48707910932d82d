from . import init as init
from .activations import (
    ELU as ELU,
)
from .activations import (
    GELU as GELU,
)
from .activations import (
    LeakyReLU as LeakyReLU,
)
from .activations import (
    LogSoftmax as LogSoftmax,
)
from .activations import (
    ReLU as ReLU,
)
from .activations import (
    Sigmoid as Sigmoid,
)
from .activations import (
    SiLU as SiLU,
)
from .activations import (
    Softmax as Softmax,
)
from .activations import (
    Tanh as Tanh,
)
from .activations import (
    elu as elu,
)
from .activations import (
    gelu as gelu,
)
from .activations import (
    leaky_relu as leaky_relu,
)
from .activations import (
    log_softmax as log_softmax,
)
from .activations import (
    relu as relu,
)
from .activations import (
    sigmoid as sigmoid,
)
from .activations import (
    silu as silu,
)
from .activations import (
    softmax as softmax,
)
from .activations import (
    tanh as tanh,
)
from .batchnorm import (
    BatchNorm1d as BatchNorm1d,
)
from .batchnorm import (
    BatchNorm2d as BatchNorm2d,
)
from .batchnorm import (
    batch_norm as batch_norm,
)
from .composition import (
    MLP as MLP,
)
from .composition import (
    Identity as Identity,
)
from .composition import (
    Parallel as Parallel,
)
from .composition import (
    Residual as Residual,
)
from .composition import (
    Sequential as Sequential,
)
from .composition import (
    Skip as Skip,
)
from .composition import (
    combine as combine,
)
from .composition import (
    mlp_parameters as mlp_parameters,
)
from .groupnorm import (
    GroupNorm as GroupNorm,
)
from .groupnorm import (
    InstanceNorm1d as InstanceNorm1d,
)
from .groupnorm import (
    InstanceNorm2d as InstanceNorm2d,
)
from .groupnorm import (
    group_norm as group_norm,
)
from .groupnorm import (
    instance_norm as instance_norm,
)
from .layernorm import (
    LayerNorm as LayerNorm,
)
from .layernorm import (
    layer_norm as layer_norm,
)
from .linear import (
    Linear as Linear,
)
from .linear import (
    affine as affine,
)
from .rmsnorm import (
    RMSNorm as RMSNorm,
)
from .rmsnorm import (
    rms_norm as rms_norm,
)
from .runningstats import (
    fold_batch_norm as fold_batch_norm,
)
from .tracing import (
    Edge as Edge,
)
from .tracing import (
    Fork as Fork,
)
from .tracing import (
    Graph as Graph,
)
from .tracing import (
    Node as Node,
)
from .tracing import (
    trace as trace,
)
