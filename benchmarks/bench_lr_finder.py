"""Time per step of `find_lr` beside torch-lr-finder's, on the same model and loader.

python benchmarks/bench_lr_finder.py    about a minute

The other package is not among the project's: pip install torch-lr-finder
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrlib import find_lr, training_step

STEPS = 200
START_LR, END_LR = 1e-7, 1e-3  # so low that no test stops early
MODELS = {"MLP 40-100-100-10": (40, 100, 100, 10), "MLP 40-400-400-10": (40, 400, 400, 10)}
OPTIMIZERS = {
    "SGD with momentum": lambda params: torch.optim.SGD(params, lr=START_LR, momentum=0.9),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=START_LR),
}


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def ours(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> int:
    """Saving, the test, restoring and the suggestions; returns the steps made."""
    step = training_step(model, nn.functional.cross_entropy, loader)
    found = find_lr(optimizer, step, start_lr=START_LR, end_lr=END_LR, num_iter=STEPS, repeats=1)
    assert found.suggestions
    return int((~np.isnan(found.losses)).sum())


def theirs(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> int:
    """The same with torch-lr-finder; what it prints is thrown away."""
    from torch_lr_finder import LRFinder

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        finder = LRFinder(model, optimizer, nn.CrossEntropyLoss(), device="cpu")
        finder.range_test(loader, end_lr=END_LR, num_iter=STEPS)
        finder.reset()
    return len(finder.history["lr"])


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader) -> int:
    """The training alone."""
    step = training_step(model, nn.functional.cross_entropy, loader)
    for _ in range(STEPS):
        step().item()
        optimizer.step()
    return STEPS


def seconds_per_step(run: Callable[..., int], sizes: tuple[int, ...], optimizer: str) -> float:
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(4000, 40), torch.randint(10, (4000,)))
    loader, model = DataLoader(data, batch_size=32, shuffle=True), mlp(sizes)
    built = OPTIMIZERS[optimizer](model.parameters())
    start = time.perf_counter()
    steps = run(model, built, loader)
    elapsed = time.perf_counter() - start
    assert steps == STEPS, f"{run.__name__} made {steps} steps"
    return elapsed / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of each, in turn (15)")
    rounds = parser.parse_args().rounds
    try:
        import torch_lr_finder  # noqa: F401
    except ImportError:
        sys.exit(
            "This compares with another package, which is missing: pip install torch-lr-finder"
        )
    torch.set_num_threads(1)
    print(f"{STEPS} steps, batch 32, {rounds} rounds, {platform.machine()}, one thread, ", end="")
    print(f"torch {torch.__version__}; microseconds per step, medians\n")
    print("model                 optimizer            plain   theirs  find_lr   find_lr / theirs")
    print("                                                                   median (range)")
    for name, sizes in MODELS.items():
        for optimizer in OPTIMIZERS:
            times: dict[Callable, list[float]] = {plain: [], theirs: [], ours: []}
            for i in range(rounds + 1):  # in turn, so that noise hits all alike
                for run, record in times.items():
                    record.append(seconds_per_step(run, sizes, optimizer))
                    if not i:
                        record.clear()  # a warm-up
            ratios = [a / b for a, b in zip(times[ours], times[theirs], strict=True)]
            middle = [f"{1e6 * median(record):9.0f}" for record in times.values()]
            print(
                f"{name:21s} {optimizer:17s}{''.join(middle)}      "
                f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
