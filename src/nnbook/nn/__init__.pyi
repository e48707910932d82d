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
from .classification import (
    BCELoss as BCELoss,
)
from .classification import (
    BCEWithLogitsLoss as BCEWithLogitsLoss,
)
from .classification import (
    CrossEntropyLoss as CrossEntropyLoss,
)
from .classification import (
    NLLLoss as NLLLoss,
)
from .classification import (
    binary_cross_entropy as binary_cross_entropy,
)
from .classification import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from .classification import (
    cross_entropy as cross_entropy,
)
from .classification import (
    nll_loss as nll_loss,
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
from .divergences import (
    FocalLoss as FocalLoss,
)
from .divergences import (
    HingeLoss as HingeLoss,
)
from .divergences import (
    KLDivLoss as KLDivLoss,
)
from .divergences import (
    MultiMarginLoss as MultiMarginLoss,
)
from .divergences import (
    hinge_loss as hinge_loss,
)
from .divergences import (
    kl_div as kl_div,
)
from .divergences import (
    multi_margin_loss as multi_margin_loss,
)
from .divergences import (
    sigmoid_focal_loss as sigmoid_focal_loss,
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
    RMSNorm as RMSNorm,
)
from .groupnorm import (
    group_norm as group_norm,
)
from .groupnorm import (
    instance_norm as instance_norm,
)
from .groupnorm import (
    rms_norm as rms_norm,
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
from .losses import (
    HuberLoss as HuberLoss,
)
from .losses import (
    L1Loss as L1Loss,
)
from .losses import (
    MSELoss as MSELoss,
)
from .losses import (
    SmoothL1Loss as SmoothL1Loss,
)
from .losses import (
    huber_loss as huber_loss,
)
from .losses import (
    l1_loss as l1_loss,
)
from .losses import (
    mse_loss as mse_loss,
)
from .losses import (
    smooth_l1_loss as smooth_l1_loss,
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
