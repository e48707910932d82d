"""The training loop: against a loop written by hand, resumed, broken off, and fed with bad data."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tools import close
from torch import Tensor, nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from nnbook import _checkpoint, _progress
from nnbook.training import (
    EarlyStopping,
    History,
    accuracy,
    confusion_matrix,
    evaluate,
    fit,
    outputs,
    predict,
    seed_everything,
    train_epoch,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CROSS_ENTROPY = nn.CrossEntropyLoss()


def make_data(n: int = 23, seed: int = 1) -> tuple[Tensor, Tensor]:
    """23 samples of 3 features, 4 classes: no two lengths are equal, no batch size divides 23."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    return x, torch.randint(0, 4, (n,), generator=generator)


def make_model(seed: int = 2, dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    middle = [nn.BatchNorm1d(7)] if norm else []
    return nn.Sequential(nn.Linear(3, 7), *middle, nn.Tanh(), nn.Dropout(dropout), nn.Linear(7, 4))


def sgd(model: nn.Module, lr: float = 0.1, momentum: float = 0.9) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)


def run(model: nn.Module, epochs: int = 2, **changes) -> History:
    arguments = {"loss": CROSS_ENTROPY, "batch_size": 5, "seed": 3, **changes}
    if "optimizer" not in arguments:
        arguments["optimizer"] = sgd(model)
    return fit(model, arguments.pop("train", make_data()), epochs=epochs, **arguments)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# The loop against one that is written out by hand.


def by_hand(model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int) -> list[float]:
    x, y = make_data()
    generator = torch.Generator()
    generator.manual_seed(3)
    means = []
    for _ in range(epochs):
        order = torch.randperm(23, generator=generator).tolist()
        total = 0.0
        for start in (0, 5, 10, 15, 20):
            rows = order[start : start + 5]
            for parameter in model.parameters():
                parameter.grad = None
            loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        means.append(total / 23)
    return means


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_equals_a_loop_written_by_hand(momentum: float) -> None:
    ours, theirs = make_model(), make_model()
    history = run(ours, optimizer=sgd(ours, momentum=momentum))
    means = by_hand(theirs, sgd(theirs, momentum=momentum), epochs=2)
    assert same_weights(ours, theirs)
    close(history["loss"], means, rtol=1e-12)


def test_gradients_left_over_from_before_do_not_count() -> None:
    ours, theirs = make_model(), make_model()
    CROSS_ENTROPY(ours(make_data()[0]), make_data()[1]).backward()
    run(ours)
    by_hand(theirs, sgd(theirs), epochs=2)
    assert same_weights(ours, theirs)


def test_every_parameter_changes() -> None:
    model, before = make_model(norm=True), make_model(norm=True)
    run(model)
    for (name, after), old in zip(model.named_parameters(), before.parameters(), strict=True):
        assert not torch.equal(after, old), name


def test_arrays_do_the_same_as_tensors() -> None:
    ours, theirs = make_model(), make_model()
    x, y = (part.numpy() for part in make_data())
    x.flags.writeable = False
    run(ours, train=(x[::-1], y[::-1]), val=(x, y))
    run(theirs, train=(make_data()[0].flip(0), make_data()[1].flip(0)))
    assert same_weights(ours, theirs)


# Shuffling.


class Recorder(nn.Module):
    """Remembers the order in which the samples came."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.extend(int(number) for number in x[:, 0])
        return self.weight * x


def orders(seed: int, epochs: int = 2, n: int = 17) -> list[list[int]]:
    model = Recorder()
    x = torch.arange(n, dtype=torch.float32)[:, None]
    run(model, epochs, train=(x, x), loss=nn.MSELoss(), seed=seed, batch_size=4)
    return [model.seen[at : at + n] for at in range(0, epochs * n, n)]


def test_each_epoch_has_each_sample_once_in_another_order() -> None:
    first, second = orders(seed=5)
    assert sorted(first) == sorted(second) == list(range(17))
    assert first != second
    assert first != list(range(17))


def test_the_order_depends_on_the_seed_only() -> None:
    torch.manual_seed(1)
    one = orders(seed=5)
    torch.manual_seed(99)
    assert orders(seed=5) == one
    assert orders(seed=6) != one


def test_the_global_generator_is_left_alone_without_dropout() -> None:
    model = make_model()
    before = torch.get_rng_state()
    run(model, val=make_data(9), metrics={"accuracy": accuracy})
    assert torch.equal(torch.get_rng_state(), before)


# Modes.


def test_modes_are_put_back_module_by_module() -> None:
    for mode in (True, False):
        model = make_model(norm=True).train(mode)
        model[1].training = False  # a frozen norm
        run(model)
        assert [m.training for m in model] == [mode, False, mode, mode, mode]
        assert model.training is mode


def test_modes_are_put_back_after_an_error() -> None:
    model = make_model().eval()

    def stop(epoch: int, model: nn.Module, history: History) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, callbacks=[stop])
    assert not model.training


class ModeProbe(nn.Module):
    """Gives the logit of class 0 (train mode) or class 1 (eval mode), and notes the modes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.calls: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((self.training, torch.is_grad_enabled()))
        hot = torch.tensor([1.0, 0.0] if self.training else [0.0, 1.0])
        return hot.expand(len(x), 2) + self.weight


def test_training_runs_in_train_mode_and_measures_in_eval_mode_without_gradients() -> None:
    model = ModeProbe().eval()
    x, ones = torch.zeros(4, 1), torch.ones(4, dtype=torch.int64)
    history = run(
        model, epochs=1, train=(x, ones), val=(x, ones), batch_size=4, metrics={"acc": accuracy}
    )
    assert model.calls == [(True, True), (False, False), (False, False)]
    assert history["acc"] == history["val_acc"] == [1.0]  # eval mode says class 1
    assert history["loss"][0] > 1.3 > 0.32 > history["val_loss"][0]


def test_an_epoch_runs_in_train_mode_whatever_was_before() -> None:
    model = ModeProbe().eval()
    x, y = torch.zeros(4, 1), torch.ones(4, dtype=torch.int64)
    mean = train_epoch(model, (x, y), [torch.arange(3)], CROSS_ENTROPY, sgd(model))
    assert model.calls == [(True, True)]
    assert mean == pytest.approx(np.log(1 + np.e))


def test_evaluate_changes_nothing() -> None:
    model, before = make_model(norm=True), make_model(norm=True)
    evaluate(model, make_data(), loss=CROSS_ENTROPY, metrics={"accuracy": accuracy})
    outputs(model, make_data()[0])
    predict(model, make_data()[0])
    assert same_weights(model, before)  # the running statistics of the norm are part of it
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


# Metrics.


def test_means_are_weighted_by_the_size_of_the_batch() -> None:
    model, (x, y) = make_model().eval(), make_data()
    whole = {
        "loss": float(CROSS_ENTROPY(model(x), y).detach()),
        "hits": float(accuracy(model(x), y)),
    }
    for batch_size in (1, 4, 22, 23, 100):
        got = evaluate(
            model, (x, y), loss=CROSS_ENTROPY, metrics={"hits": accuracy}, batch_size=batch_size
        )
        assert list(got) == ["loss", "hits"]
        close(list(got.values()), list(whole.values()), rtol=1e-6)


def test_history_has_one_number_per_epoch_and_column() -> None:
    model = make_model()
    scheduler = StepLR(sgd(model, lr=0.1), step_size=1, gamma=0.5)
    history = run(
        model,
        epochs=3,
        optimizer=scheduler.optimizer,
        scheduler=scheduler,
        val=make_data(9, seed=4),
        metrics={"accuracy": accuracy},
    )
    assert sorted(history) == ["accuracy", "loss", "lr", "val_accuracy", "val_loss"]
    assert history.epochs == [1, 2, 3]
    assert all(len(column) == 3 for column in history.values())
    assert history["lr"] == [0.1, 0.05, 0.025]  # what each epoch used
    after = evaluate(model, make_data(9, seed=4), loss=CROSS_ENTROPY, metrics={"a": accuracy})
    assert (history["val_loss"][-1], history["val_accuracy"][-1]) == tuple(after.values())
    assert history["accuracy"][-1] == evaluate(model, make_data(), metrics={"a": accuracy})["a"]


def test_no_epoch_is_no_training() -> None:
    model, before = make_model(), make_model()
    history = run(model, epochs=0)
    assert same_weights(model, before)
    assert (dict(history), history.epochs) == ({}, [])


def test_plateau_scheduler_gets_the_monitored_number() -> None:
    model = make_model()
    optimizer = sgd(model, lr=1e-9)  # nothing moves, so each epoch after the first is a plateau
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.1, eps=0)
    history = run(model, 4, optimizer=optimizer, scheduler=plateau, val=make_data(9))
    close(history["lr"], [1e-9, 1e-9, 5e-10, 2.5e-10], rtol=1e-12, atol=0)
    assert plateau.best == history["val_loss"][0]


def test_callbacks_see_each_epoch() -> None:
    model = make_model()
    seen: list[tuple[int, float]] = []
    history = run(
        model, 3, callbacks=[lambda epoch, _, history: seen.append((epoch, history["loss"][-1]))]
    )
    assert seen == list(zip([1, 2, 3], history["loss"], strict=True))


# Early stopping.


def stop_on(values: list[float], **options) -> tuple[History, nn.Module, list[dict[str, Tensor]]]:
    """Train with made-up validation losses; return the history, the model, the weights by epoch."""
    model, kept, calls = make_model(), [], iter(values)
    options.setdefault("monitor", "val_fake")

    def remember(epoch: int, model: nn.Module, history: History) -> None:
        kept.append({name: value.clone() for name, value in model.state_dict().items()})

    def fake(output: Tensor, target: Tensor) -> Tensor:
        # called for the training data first, then for the validation data
        return torch.tensor(next(calls)) if len(target) == 9 else torch.tensor(0.0)

    history = run(
        model,
        epochs=len(values),
        val=make_data(9),
        metrics={"fake": fake},
        early_stopping=EarlyStopping(**options),
        callbacks=[remember],
    )
    return history, model, kept


@pytest.mark.parametrize(
    ("options", "values", "epochs", "best"),
    [
        ({"patience": 2}, [5.0, 4.0, 4.5, 4.0, 3.0], 4, 2),
        ({"patience": 3}, [5.0, 4.0, 4.5, 4.0, 3.0], 5, 5),
        ({"patience": 1}, [5.0, 4.0, 3.0, 2.0], 4, 4),
        ({"patience": 2, "min_delta": 1.0}, [5.0, 3.9, 4.5, 2.8, 0.0], 5, 5),
        ({"patience": 2, "min_delta": 1.0}, [5.0, 4.0, 4.0, 1.0], 3, 2),
        ({"patience": 1, "mode": "max"}, [0.1, 0.3, 0.2, 0.9], 3, 2),
        ({"patience": 2}, [5.0, float("nan"), float("nan"), 1.0], 3, 1),
        ({"patience": 3}, [float("nan"), 2.0, 3.0, 1.0], 4, 4),
        ({"patience": 2}, [float("nan"), 2.0, 3.0, 4.0], 4, 2),
    ],
)
def test_early_stopping(options, values, epochs, best) -> None:
    history, model, kept = stop_on(values, **options)
    assert history.epochs[-1] == epochs
    assert history.best.epoch == best
    assert history.best.value == pytest.approx(values[best - 1])
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[best - 1][name])


def test_early_stopping_may_leave_the_last_weights() -> None:
    history, model, kept = stop_on([1.0, 2.0, 3.0], patience=2, restore_best=False)
    assert history.best.epoch == 1
    assert torch.equal(model[0].weight, kept[2]["0.weight"])
    assert not torch.equal(model[0].weight, kept[0]["0.weight"])


def test_best_without_validation_is_the_smallest_loss() -> None:
    history = run(make_model(), 3)
    assert history.best.monitor == "loss"
    assert history.best.value == min(history["loss"])
    assert run(make_model(), 2, val=make_data(9)).best.monitor == "val_loss"


@pytest.mark.errors
def test_errors_of_history_and_early_stopping() -> None:
    with pytest.raises(ValueError, match=r"History: the column 'loss' has no number.*at least one"):
        _ = History("loss").best
    with pytest.raises(ValueError, match=r"EarlyStopping: patience=0 is too small.*>= 1"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match=r"EarlyStopping: min_delta=-1 lies outside \[0, inf\)"):
        EarlyStopping(patience=1, min_delta=-1)
    with pytest.raises(ValueError, match=r"mode='least' is not known; use one of \['max', 'min'\]"):
        EarlyStopping(patience=1, mode="least")
    with pytest.raises(ValueError, match=r"monitor='val_loss' is not known; .*\['loss', 'lr'\]"):
        run(make_model(), early_stopping=EarlyStopping(patience=1, monitor="val_loss"))


# Checkpoints.

SCHEDULERS = {
    "none": lambda optimizer: None,
    "step": lambda optimizer: StepLR(optimizer, step_size=2, gamma=0.3),
    "steps": lambda optimizer: MultiStepLR(optimizer, milestones=[2, 4]),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, T_max=6),
    "lambda": lambda optimizer: LambdaLR(optimizer, lambda epoch: 0.9**epoch),
    "cycle": lambda optimizer: OneCycleLR(optimizer, max_lr=0.3, total_steps=7),
    "plateau": lambda optimizer: ReduceLROnPlateau(optimizer, patience=1),
}
OPTIMIZERS = {
    "sgd": sgd,
    "adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01),
}


def resumable(path: Path | None, epochs: int, scheduler="none", optimizer="sgd", **changes):
    model = make_model(dropout=0.4, norm=True)
    steps = OPTIMIZERS[optimizer](model)
    history = run(
        model,
        epochs,
        optimizer=steps,
        scheduler=SCHEDULERS[scheduler](steps),
        val=make_data(9),
        metrics={"accuracy": accuracy},
        checkpoint=path,
        resume=path is not None,
        **changes,
    )
    return model, history


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_three_and_three_epochs_are_six(scheduler: str, optimizer: str, tmp_path: Path) -> None:
    whole, history = resumable(None, 6, scheduler, optimizer)
    at_end = torch.get_rng_state()
    path = tmp_path / "new" / "run.pt"
    resumable(path, 3, scheduler, optimizer)
    torch.manual_seed(12345)  # the second half starts in another process, in another state
    parts, joined = resumable(path, 6, scheduler, optimizer)
    assert same_weights(parts, whole)
    assert (dict(joined), joined.best) == (dict(history), history.best)
    assert torch.equal(torch.get_rng_state(), at_end)
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_a_finished_run_is_only_loaded(tmp_path: Path) -> None:
    model, history = resumable(tmp_path / "run.pt", 3)
    again, same = resumable(tmp_path / "run.pt", 3)
    assert same_weights(model, again)
    assert dict(history) == dict(same)


def test_early_stopping_is_remembered(tmp_path: Path) -> None:
    stop = EarlyStopping(patience=2, min_delta=10.0)  # no progress: due after three epochs
    whole, history = resumable(None, 9, early_stopping=stop)
    assert len(history.epochs) == 3
    resumable(tmp_path / "run.pt", 2, early_stopping=stop)
    parts, joined = resumable(tmp_path / "run.pt", 9, early_stopping=stop)
    assert dict(joined) == dict(history)
    assert same_weights(parts, whole)


def test_the_best_weights_survive_a_resume(tmp_path: Path) -> None:
    stop = EarlyStopping(patience=9, monitor="lr")  # the smallest rate is that of epoch 1
    options = {"scheduler": "lambda-up", "early_stopping": stop}
    SCHEDULERS["lambda-up"] = lambda optimizer: LambdaLR(optimizer, lambda epoch: 1.1**epoch)
    first, _ = resumable(None, 1, **options)
    resumable(tmp_path / "run.pt", 2, **options)
    resumed, history = resumable(tmp_path / "run.pt", 4, **options)
    del SCHEDULERS["lambda-up"]
    assert history.best.epoch == 1
    assert same_weights(resumed, first)


CHILD = """
import os, sys
sys.path[:0] = {paths!r}
import torch
import test_training as t
from pathlib import Path
epoch = 0
class Killer(torch.nn.Module):
    def forward(self, x):
        global calls
        calls += 1
        if calls == {calls}:
            os.kill(os.getpid(), 9)
        return x
calls = 0
if {calls}:
    make = t.make_model
    def with_killer(**options):
        model = make(**options)
        model[2].register_forward_hook(lambda module, given, out: Killer()(out))
        return model
    t.make_model = with_killer
saves = 0
replace = os.replace
def cut(source, target):
    global saves
    saves += 1
    if saves == {saves}:
        data = Path(source).read_bytes()
        Path(source).write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), 9)
    replace(source, target)
os.replace = cut
torch.manual_seed(0)
t.resumable(Path({path!r}), 6, "step")
"""


@pytest.mark.parametrize(
    ("calls", "saves"),
    [(26, 0), (0, 3), (0, 1), (3, 0)],
)
def test_killed_and_resumed_is_never_killed(calls: int, saves: int, tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch (7 calls each), or before a checkpoint is in place."""
    path = tmp_path / "run.pt"
    paths = [str(Path(__file__).parent)]
    code = CHILD.format(paths=paths, calls=calls, saves=saves, path=str(path))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    died = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert died.returncode == -9
    expected = {(26, 0): 3, (0, 3): 2, (0, 1): None, (3, 0): None}[calls, saves]
    if expected is None:
        assert not path.exists()
    else:
        assert len(_checkpoint.load_checkpoint(path)["history"]["loss"]) == expected
    torch.manual_seed(0)
    whole, history = resumable(None, 6, "step")
    torch.manual_seed(0)
    parts, joined = resumable(path, 6, "step")
    assert dict(joined) == dict(history)
    assert same_weights(parts, whole)


def test_a_failing_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "run.pt"
    _checkpoint.save_checkpoint(path, {"number": 1})

    def full(number: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        _checkpoint.save_checkpoint(path, {"number": 2})
    assert _checkpoint.load_checkpoint(path)["number"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


class Evil:
    """Would run code when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("should-not-exist",))


@pytest.mark.errors
def test_a_bad_checkpoint_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.pt"
    resumable(path, 2)
    good = path.read_bytes()

    def refused(content: bytes, match: str) -> None:
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"fit: the checkpoint .*run\.pt .*{match}.*Delete it"
        ):
            resumable(path, 4)
        assert path.read_bytes() == content  # it is the reader's to delete

    refused(b"", "0 bytes are cut off")
    refused(good[: len(good) // 2], "cut off or not a checkpoint")
    refused(good[:-1], "cut off or not a checkpoint|failed")
    middle = len(good) // 2
    refused(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :], "checksum|failed")
    refused(b"hello, world", "cut off or not a checkpoint")
    torch.save({"weights": torch.ones(2)}, path)
    refused(path.read_bytes(), "another program or version")
    torch.save([1, 2], path)
    refused(path.read_bytes(), "another program or version")
    torch.save({"format": _checkpoint.FORMAT, "evil": Evil()}, path)
    refused(path.read_bytes(), "reading it failed with")
    assert not (tmp_path / "should-not-exist").exists()
    path.write_bytes(pickle.dumps({"format": _checkpoint.FORMAT}))
    refused(path.read_bytes(), "cut off or not a checkpoint")
    path.write_bytes(good)
    assert len(resumable(path, 3)[1].epochs) == 3


@pytest.mark.errors
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    resumable(path, 1)
    for changes, match in [
        ({"seed": 4}, "seed=3, this one has seed=4"),
        ({"batch_size": 6}, "batch_size=5, this one has batch_size=6"),
        ({"train": make_data(24)}, "samples=23, this one has samples=24"),
        ({"scheduler": "step"}, "scheduler=None, this one has scheduler='StepLR'"),
        ({"early_stopping": EarlyStopping(2)}, "keep_best=False, this one has keep_best=True"),
        ({"optimizer": "adamw"}, "another model or optimizer"),
        (
            {"early_stopping": EarlyStopping(2, monitor="loss", restore_best=False)},
            "monitor='val_loss', this one has monitor='loss'",
        ),
    ]:
        with pytest.raises(ValueError, match=match):
            resumable(path, 2, **changes)
    model = nn.Linear(3, 4)
    with pytest.raises(ValueError, match=r"columns=.* this one has columns="):
        run(model, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match=r"another model or optimizer.*0\.weight"):
        run(
            model, val=make_data(9), metrics={"accuracy": accuracy}, checkpoint=path, resume=True
        )  # fmt: skip
    with pytest.raises(ValueError, match="resume=True without a checkpoint; name the file"):
        run(model, resume=True)


def test_without_resume_a_checkpoint_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    run(make_model(), 3, checkpoint=path)
    history = run(make_model(), 1, checkpoint=path)
    assert len(history.epochs) == 1
    assert len(_checkpoint.load_checkpoint(path)["history"]["loss"]) == 1


# Bad input.


@pytest.mark.errors
@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"epochs": -1}, ValueError, "epochs=-1 is too small; .*>= 0"),
        ({"epochs": 1.5}, TypeError, "epochs=1.5 is a float; give an int"),
        ({"batch_size": 0}, ValueError, "fit: batch_size=0 is too small; .*>= 1"),
        ({"batch_size": True}, TypeError, "batch_size=True is a bool"),
        ({"train": make_data()[0]}, TypeError, r"train is a Tensor; give a pair \(inputs, targ"),
        ({"train": ([1.0], [2])}, TypeError, r"train is a tuple of \(list, list\); give a pair"),
        ({"train": (torch.ones(2, 3), torch.tensor(1))}, ValueError, "targets are a single number"),
        ({"train": make_data(0)}, ValueError, "fit: train is empty; give at least one"),
        ({"val": make_data(0)}, ValueError, "fit: val is empty"),
        (
            {"train": (make_data(5)[0], make_data(6)[1])},
            ValueError,
            "train inputs has 5 entries and train targets has 6; give both",
        ),
        (
            {"train": (make_data()[0].double(), make_data()[1])},
            TypeError,
            "the train inputs have dtype float64; give float32, the dtype of the model, or int64",
        ),
        (
            {"train": (np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.int64))},
            TypeError,
            "the train inputs have dtype uint8; give float32",
        ),
        (
            {"val": (make_data()[0], make_data()[1].int())},
            TypeError,
            "the val targets have dtype int32; give float32.* or int64 for class numbers",
        ),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, ValueError, r"shape \(5,\).*one number"),
        ({"loss": lambda o, t: 1.0}, ValueError, r"the loss gave 1\.0; wanted a tensor"),
        ({"optimizer": sgd(make_model())}, ValueError, "SGD holds no parameter of this model"),
    ],
)
def test_bad_arguments(changes, error, match) -> None:
    model = make_model()
    with pytest.raises(error, match=match):
        run(model, **changes)
    assert same_weights(model, make_model())


@pytest.mark.errors
def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    x, y = make_data()
    x[11, 1] = float("nan")
    order = torch.randperm(23, generator=torch.Generator().manual_seed(3)).tolist()
    batch = order.index(11) // 5 + 1
    model, optimizer_steps = make_model(), []
    optimizer = sgd(model)
    optimizer.register_step_post_hook(lambda *_: optimizer_steps.append(1))
    match = rf"the loss of epoch 1, batch {batch} of 5 is nan; wanted a finite.*Lower the learning"
    with pytest.raises(FloatingPointError, match=match):
        run(model, train=(x, y), optimizer=optimizer)
    assert len(optimizer_steps) == batch - 1
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
    with pytest.raises(FloatingPointError, match=r"epoch 7, batch 1 of 1 is inf"):
        train_epoch(
            model, make_data(), [torch.arange(3)], lambda o, t: o.sum() * torch.inf, optimizer, 7
        )


class Elsewhere(Tensor):
    """A tensor that says it is on a GPU."""

    @property
    def device(self) -> SimpleNamespace:
        return SimpleNamespace(type="cuda")


@pytest.mark.errors
def test_on_a_gpu_the_losses_are_checked_once_at_the_end() -> None:
    x, y = make_data()
    x[11, 1] = float("nan")
    model, steps = make_model(), []
    optimizer = sgd(model)
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    rows, x = torch.arange(23).split(5), x.as_subclass(Elsewhere)
    with pytest.raises(FloatingPointError, match="epoch 4, batch 3 of 5 is nan"):
        train_epoch(model, (x, y), rows, CROSS_ENTROPY, optimizer, epoch=4)
    assert len(steps) == 5  # no waiting in between


@pytest.mark.errors
def test_errors_of_the_helpers() -> None:
    model, (x, y) = make_model(), make_data()
    with pytest.raises(ValueError, match="evaluate: neither loss nor metrics is given"):
        evaluate(model, (x, y))
    with pytest.raises(ValueError, match="evaluate: batch_size=0"):
        evaluate(model, (x, y), loss=CROSS_ENTROPY, batch_size=0)
    with pytest.raises(
        ValueError, match=r"evaluate: hits gave shape \(23,\); wanted a tensor with"
    ):
        evaluate(model, (x, y), metrics={"hits": lambda o, t: t})
    with pytest.raises(ValueError, match="outputs: x has no samples"):
        outputs(model, x[:0])
    with pytest.raises(ValueError, match=r"predict: the outputs have shape \(23, 2, 2\); wanted"):
        predict(nn.Unflatten(1, (2, 2)), torch.zeros(23, 4))
    with pytest.raises(ValueError, match=r"accuracy: got output of shape \(3,\) and target of"):
        accuracy(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match=r"accuracy: .*\(3, 2\).*\(2,\); wanted \(n, classes\)"):
        accuracy(torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(ValueError, match=r"pred holds classes from 0 to 3; with n=3 .* 0 \.\.\. 2"):
        confusion_matrix(np.array([0, 1]), np.array([0, 3]), 3)
    with pytest.raises(ValueError, match=r"y holds classes from -1 to 0"):
        confusion_matrix(np.array([-1, 0]), np.array([0, 1]), 3)
    with pytest.raises(ValueError, match=r"y has 2 entries and pred has 1"):
        confusion_matrix(np.array([1, 0]), np.array([0]), 3)
    with pytest.raises(TypeError, match=r"pred has dtype float64 and shape \(1,\); give class"):
        confusion_matrix(np.array([1]), np.array([0.5]), 3)
    with pytest.raises(ValueError, match="seed_everything: seed=-1"):
        seed_everything(-1)


# The helpers.


def test_accuracy_and_confusion_agree_with_counting(rng) -> None:
    scores, y = torch.tensor(rng.normal(size=(50, 4))), torch.tensor(rng.integers(4, size=50))
    pred = scores.argmax(1)
    matrix = confusion_matrix(y, pred, 4)
    for i in range(4):
        for j in range(4):
            assert matrix[i, j] == sum(int(a == i and b == j) for a, b in zip(y, pred, strict=True))
    assert not np.array_equal(matrix, matrix.T)
    assert float(accuracy(scores, y)) == pytest.approx(np.trace(matrix) / 50)
    assert confusion_matrix(np.array([], int), np.array([], int), 2).tolist() == [[0, 0], [0, 0]]


def test_predict_takes_float64_and_keeps_the_order() -> None:
    model, (x, _) = make_model().eval(), make_data()
    want = model(x).argmax(1)
    got = predict(model, x.double().numpy(), batch_size=4)
    assert got.dtype == np.int64
    assert got.tolist() == want.tolist()
    close(outputs(model, x, batch_size=4), model(x), rtol=1e-6)


def test_integer_inputs_stay_integers() -> None:
    model = nn.Sequential(nn.Embedding(6, 3), nn.Flatten(), nn.Linear(6, 4))
    tokens = torch.randint(0, 6, (10, 2))
    run(model, train=(tokens, torch.randint(0, 4, (10,))))
    assert predict(model, tokens.numpy()).shape == (10,)


def test_seed_everything_repeats_python_and_torch() -> None:
    seed_everything(7)
    first = random.random(), torch.rand(2).tolist()
    seed_everything(7)
    assert (random.random(), torch.rand(2).tolist()) == first
    seed_everything(8)
    assert random.random() != first[0]


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_is_repeated_exactly_on_its_device(device: str) -> None:
    runs = []
    for _ in range(2):
        model = make_model(dropout=0.3)
        runs.append((model, run(model, 3, device=device, val=make_data(9))))
    (one, first), (other, second) = runs
    assert same_weights(one, other)
    assert dict(first) == dict(second)
    assert next(one.parameters()).device.type == device
    assert first["loss"][-1] < first["loss"][0]


# The progress bar.


class Terminal:
    """A stream that says it is a terminal, and keeps what is written."""

    def __init__(self, is_terminal: bool = True) -> None:
        self.text, self.is_terminal = "", is_terminal

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    ("show", "terminal", "book", "test", "seen"),
    [
        ("auto", True, False, False, True),
        ("auto", False, False, False, False),
        ("auto", True, True, False, False),
        ("auto", True, False, True, False),
        (True, False, False, True, True),
        (True, True, True, False, False),
        (False, True, False, False, False),
    ],
)
def test_progress_is_shown_on_a_terminal_only(
    show, terminal, book, test, seen, monkeypatch
) -> None:
    stream = Terminal(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delenv("NNBOOK_BOOK", raising=False)
    if book:
        monkeypatch.setenv("NNBOOK_BOOK", "1")
    if not test:
        monkeypatch.delenv("PYTEST_CURRENT_TEST")
    run(make_model(), 2, progress=show)
    assert ("2/2" in stream.text) is seen
    assert bool(stream.text) is seen


def test_progress_without_any_stderr(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    with _progress.progress_bar("auto", total=2) as bar:
        bar.update()
        assert bar.disable
