"""The state of a training run, and files that hold it: written whole or not at all."""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from nnbook._history import History
from nnbook._tensors import home

FORMAT = "nnbook checkpoint 1"


@dataclass
class Run:
    """Everything that changes while `nnbook.training.fit` runs, and what must stay the same.

    Args:
        model: the model.
        optimizer: the optimizer.
        scheduler: the scheduler of the learning rate, if any.
        history: what was measured.
        shuffle: the generator that shuffles.
        keep_best: whether to keep a copy of the weights of the best epoch.
        settings: what must be the same after a resume, such as the seed.
        best: that copy.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler | None
    history: History
    shuffle: torch.Generator
    keep_best: bool
    settings: dict[str, Any]
    best: dict[str, Any] | None = field(default=None)

    def end_epoch(self) -> None:
        """Step the scheduler, and keep a copy of the weights if they are the best so far."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(self.history[self.history.monitor][-1])
        elif self.scheduler is not None:
            self.scheduler.step()
        if self.keep_best and self.history.is_best_now():
            weights = self.model.state_dict()
            self.best = {k: v.clone() if isinstance(v, Tensor) else v for k, v in weights.items()}

    def state(self) -> dict[str, Any]:
        """Return the state as tensors, numbers, texts, lists and dicts."""
        cuda = torch.cuda.get_rng_state_all() if home(self.model)[0].type == "cuda" else []
        return {
            "fixed": self._fixed(),
            "history": dict(self.history),
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "shuffle": self.shuffle.get_state(),
            "random": torch.get_rng_state(),
            "random_cuda": cuda,
        }

    def _fixed(self) -> dict[str, Any]:
        scheduler = None if self.scheduler is None else type(self.scheduler).__name__
        own = {"keep_best": self.keep_best, "monitor": self.history.monitor, "scheduler": scheduler}
        return {**self.settings, **own}

    def load(self, path: Path) -> None:
        """Take the state over from a file; random numbers go on from there too."""
        state = load_checkpoint(path)
        for name, now in self._fixed().items():
            was = state["fixed"][name]
            if was != now:
                raise _refusal(path, f"its run had {name}={was!r}, this one has {name}={now!r}")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            details = " ".join(str(error).split())
            raise _refusal(path, f"it is of another model or optimizer: {details}") from error
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.history.clear()
        self.history.update(state["history"])
        self.best = state["best"]
        self.shuffle.set_state(state["shuffle"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` so that the file at ``path`` is always either the old or the new one.

    The new file is complete on the disk under another name before it takes the place of the old
    one, in a single step of the file system.

    Args:
        path: where to; the folder is made if it is not there.
        state: tensors, numbers, texts, and lists and dicts of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, onto the CPU; no code of the file is run.

    Args:
        path: the file.

    Returns:
        The state.

    Raises:
        ValueError: if the file is cut off, damaged, or was not written by `save_checkpoint`.
    """
    if not zipfile.is_zipfile(path):
        raise _refusal(path, f"its {path.stat().st_size} bytes are cut off or not a checkpoint")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise _refusal(path, f"the checksum of its part {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _refusal(path, f"reading it failed with: {reason}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise _refusal(path, "it was written by another program or version")
    return state


def _refusal(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"fit: the checkpoint {path} cannot be used: {reason}; wanted a whole file written by fit "
        f"({FORMAT}) with the same settings. Delete it, name another one, or use resume=False."
    )
