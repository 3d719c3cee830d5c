"""Time of `scheduler.step()` beside torch's schedulers, for one parameter group and for a hundred.

python benchmarks/bench_scheduler.py    about two minutes

The goal, for the same cosine, is 0.6 of the time of torch's CosineAnnealingLR; further rows show
what more than that costs. The schedulers take turns, round after round, so that whatever else the
machine does hits all alike; a ratio is the median over rounds.
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

from lrlib import Constant, CosineAnnealing, OneCycle, ScheduledLR, Warmup

STEPS = 300  # in a round, which is short so that all meet the same moments of the machine
PEAK = 0.1


BASE = "torch CosineAnnealingLR"
SCHEDULERS: dict[str, Callable[[Optimizer], LRScheduler]] = {
    BASE: lambda optimizer: CosineAnnealingLR(optimizer, STEPS),
    "torch LambdaLR, cosine": lambda optimizer: LambdaLR(
        optimizer, lambda step: (1 + math.cos(math.pi * step / STEPS)) / 2
    ),
    "torch OneCycleLR": lambda optimizer: OneCycleLR(
        optimizer, PEAK, total_steps=STEPS + 1, cycle_momentum=False
    ),
    "ScheduledLR, CosineAnnealing": lambda optimizer: ScheduledLR(
        optimizer, CosineAnnealing(STEPS)
    ),
    "ScheduledLR, one-cycle": lambda optimizer: ScheduledLR(optimizer, OneCycle(STEPS)),
    "ScheduledLR, product": lambda optimizer: ScheduledLR(
        optimizer, Warmup(10) * CosineAnnealing(STEPS)
    ),
    "ScheduledLR, min_lr": lambda optimizer: ScheduledLR(
        optimizer, CosineAnnealing(STEPS), min_lr=1e-3
    ),
    "ScheduledLR, a shape per group": lambda optimizer: ScheduledLR(
        optimizer, [CosineAnnealing(STEPS) for _ in optimizer.param_groups]
    ),
    "ScheduledLR, momentum too": lambda optimizer: ScheduledLR(
        optimizer, CosineAnnealing(STEPS), momentum=Constant(0.99)
    ),
}


def seconds_per_step(build: Callable[[Optimizer], LRScheduler], groups: int) -> float:
    """Seconds per ``scheduler.step()``, one after every ``optimizer.step()``."""
    parameters = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(groups)]
    optimizer = torch.optim.SGD(
        parameters, lr=PEAK, momentum=0.9
    )  # has no gradients, so nothing to do
    scheduler, clock, total = build(optimizer), time.perf_counter, 0.0
    for _ in range(STEPS):
        optimizer.step()
        start = clock()
        scheduler.step()
        total += clock() - start
    return total / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=101, help="of each, in turn (101)")
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
        print(f"{groups} parameter group(s){'of ' + BASE:>50s}")
        for name, record in times.items():
            ratios = [a / b for a, b in zip(record, times[BASE], strict=True)]
            print(
                f"    {name:30s} {1e6 * median(record):8.2f}      "
                f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
        print()


if __name__ == "__main__":
    main()
