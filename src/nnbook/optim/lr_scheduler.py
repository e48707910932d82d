"""The schedules under the name that torch gives their module."""

from nnbook.optim.schedules import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LinearLR,
    OneCycleLR,
    StepLR,
    WarmupCosineLR,
)

__all__ = [
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "ExponentialLR",
    "LinearLR",
    "OneCycleLR",
    "StepLR",
    "WarmupCosineLR",
]
