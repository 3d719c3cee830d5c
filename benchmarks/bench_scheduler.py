"""Time of `scheduler.step()` beside torch's schedulers, for one parameter group and for a hundred.

python benchmarks/bench_scheduler.py    about a minute

The goal is 0.6 of the time of torch's CosineAnnealingLR. The schedulers take turns, round after
round, so that whatever else the machine does hits all alike; a ratio is the median over rounds.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, OneCycleLR

from lrlib import CosineAnnealing, OneCycle, ScheduledLR

STEPS = 1_000  # in a round
PEAK = 0.1
GOAL = 0.6


def half_cosine(step: int) -> float:
    return (1 + math.cos(math.pi * step / STEPS)) / 2


BASE = "torch CosineAnnealingLR"
OURS = "ScheduledLR, CosineAnnealing"
SCHEDULERS: dict[str, Callable[[Optimizer], LRScheduler]] = {
    BASE: lambda optimizer: CosineAnnealingLR(optimizer, STEPS),
    "torch LambdaLR, cosine": lambda optimizer: LambdaLR(optimizer, half_cosine),
    "torch OneCycleLR": lambda optimizer: OneCycleLR(
        optimizer, PEAK, total_steps=STEPS + 1, cycle_momentum=False
    ),
    OURS: lambda optimizer: ScheduledLR(optimizer, CosineAnnealing(STEPS)),
    "ScheduledLR, OneCycle": lambda optimizer: ScheduledLR(optimizer, OneCycle(STEPS)),
    "ScheduledLR, self-driving": lambda optimizer: ScheduledLR(
        optimizer, CosineAnnealing(STEPS), self_driving=True
    ),
}


def seconds_per_step(build: Callable[[Optimizer], LRScheduler], groups: int) -> float:
    """What a scheduler adds to a training step: its step(), and its hooks in optimizer.step()."""
    parameters = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    # Without gradients an update has nothing to do, but runs its hooks.
    optimizer, bare = (torch.optim.SGD(parameters, lr=PEAK) for _ in range(2))
    scheduler = build(optimizer)
    total = 0.0
    clock = time.perf_counter
    for _ in range(STEPS):
        start = clock()
        optimizer.step()
        middle = clock()
        scheduler.step()
        end = clock()
        total += end - middle
        HOOKS[0] += middle - start
    start = clock()
    for _ in range(STEPS):
        bare.step()
    HOOKS[1] += clock() - start
    return total / STEPS


HOOKS = [0.0, 0.0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25, help="of each, in turn (25)")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{rounds} rounds of {STEPS} steps, {platform.machine()}, one thread, ", end="")
    print(f"torch {torch.__version__}; microseconds per scheduler.step(), medians\n")
    for groups in (1, 100):
        times: dict[str, list[float]] = {name: [] for name in SCHEDULERS}
        for i in range(rounds + 1):
            for name, build in SCHEDULERS.items():
                times[name].append(seconds_per_step(build, groups))
                if not i:
                    times[name].clear()  # a warm-up
        print(f"{groups} parameter group(s)                          of {BASE}")
        for name, record in times.items():
            ratios = [a / b for a, b in zip(record, times[BASE], strict=True)]
            print(
                f"    {name:30s} {1e6 * median(record):8.2f}      "
                f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        print()


if __name__ == "__main__":
    main()
