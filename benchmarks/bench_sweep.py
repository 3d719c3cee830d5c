"""How fast `lrlib.lab.sweep` is beside a plain training loop, and what each chapter costs.

Every seed draws its own data; beside it, the same sweep on one data set for all seeds.

python benchmarks/bench_sweep.py             throughput, about a minute
python benchmarks/bench_sweep.py --chapters  time and memory of every chapter
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from lrlib import Constant
from lrlib.lab import batches, device, mnist1d_task, sweep

ROOT = Path(__file__).resolve().parent.parent
SLICES = (1, 16, 64, 128)
BATCH, LR, MOMENTUM = 32, 0.03, 0.9
STEPS = 400
PROMISED = 8  # times a plain loop, at 64 slices on two cores


def plain_loop(task, steps: int, seed: int) -> float:
    """Model updates per second of one model, trained as a careful user would write it.

    Drawing the data and the order of the examples is not counted; in the sweep it is.
    """
    where = device()
    x, y = (t.to(where) for t in task.data.draw(seed).split("train"))
    model = task.model(seed).to(where)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    indices = [index.to(where) for index in batches(seed, len(x), steps, BATCH)]
    losses = []
    synchronize(where)
    start = time.perf_counter()
    for index in indices:
        loss = task.loss(model(x[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    synchronize(where)
    elapsed = time.perf_counter() - start
    assert torch.stack(losses).isfinite().all()
    return steps / elapsed


def best_plain_loop(task, steps: int, seed: int = 0) -> float:
    """The faster of one thread and all: models as small as this may lose by threads."""
    threads, speeds = torch.get_num_threads(), []
    for n in sorted({1, threads}):
        torch.set_num_threads(n)
        try:
            speeds.append(plain_loop(task, steps, seed))
        finally:
            torch.set_num_threads(threads)
    return max(speeds)


def stacked(task, slices: int, steps: int) -> float:
    """Model updates per second of a whole sweep: draws, batches and records are included."""
    start = time.perf_counter()
    result = sweep(
        task,
        {"constant": Constant()},
        [LR],
        range(slices),
        steps=steps,
        batch_size=BATCH,
        momentum=MOMENTUM,
        evaluate=(),
        progress=False,
    )
    elapsed = time.perf_counter() - start
    assert result.train_loss.shape[-1] == steps
    return slices * steps / elapsed


def synchronize(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.synchronize()


def throughput(seconds: float) -> None:
    """Rounds of one plain loop and two sweeps of each size, so that noise hits all alike."""
    own = mnist1d_task()  # every seed draws its own data
    shared = replace(own, data=own.data.draw(0))
    best_plain_loop(own, 50)
    for n in SLICES:
        for task in (own, shared):
            stacked(task, n, 10)
    plain: list[float] = []
    speeds: dict[int, list[tuple[float, float]]] = {n: [] for n in SLICES}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(plain) < 3:
        plain.append(best_plain_loop(own, STEPS, seed=len(plain)))
        for n in SLICES:
            # Which of the two comes first changes from round to round.
            tasks = (own, shared) if len(plain) % 2 else (shared, own)
            found = {id(task): stacked(task, n, STEPS) for task in tasks}
            speeds[n].append((found[id(own)], found[id(shared)]))

    where = device()
    name = torch.cuda.get_device_name() if where.type == "cuda" else platform.machine()
    print(f"MNIST-1D, MLP 40-100-100-10, SGD with momentum, batch {BATCH}, {STEPS} steps,")
    print(f"{where} ({name}), {torch.get_num_threads()} threads, torch {torch.__version__},")
    print(f"{len(plain)} rounds; medians, and lowest to highest of the rounds\n")
    print("          model updates per second, every seed with       own data / plain loop")
    print("slices    plain loop     own data   the same data      median, lowest to highest")

    def ratio(n: int, of: Callable[[float, float, float], float]) -> str:
        each = [of(loop, *pair) for loop, pair in zip(plain, speeds[n], strict=True)]
        return f"{median(each):.2f}, {min(each):.2f} to {max(each):.2f}"

    for n in SLICES:
        (drawn, fixed) = (median(side) for side in zip(*speeds[n], strict=True))
        print(
            f"{n:6d}  {median(plain):12,.0f} {drawn:12,.0f} {fixed:15,.0f}      "
            f"{ratio(n, lambda loop, drawn, fixed: drawn / loop)}"
        )
    print("\nslices    own data / the same data")
    for n in SLICES:
        print(f"{n:6d}    {ratio(n, lambda loop, drawn, fixed: drawn / fixed)}")
    reached = median(drawn / loop for loop, (drawn, _) in zip(plain, speeds[64], strict=True))
    verdict = "kept" if reached >= PROMISED else "NOT KEPT here"
    print(f"\nPromised at 64 slices on two cores: {PROMISED} times; {reached:.1f}: {verdict}")


def chapters() -> None:
    """Run every chapter's script as a notebook, in a fresh process and kernel each.

    First one after another, each with all cores; then all of them, one on each core at a time.
    """
    scripts = sorted(
        path for path in (ROOT / "chapters").glob("*.py") if re.match(r"\d\d_", path.name)
    )
    if not scripts:
        sys.exit("there are no chapters/NN_*.py to run")
    print("chapter                            seconds   peak memory (MiB)")
    total = 0.0
    for script in scripts:
        seconds, memory = in_a_fresh_process(script)
        total += seconds
        print(f"{script.stem:32s} {seconds:9.1f} {memory:19.0f}", flush=True)
    print(f"{'one after another':32s} {total:9.1f}", flush=True)
    cores, start = os.cpu_count() or 1, time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        runs = [pool.submit(in_a_fresh_process, script, OMP_NUM_THREADS="1") for script in scripts]
        for run in runs:
            run.result()
    print(f"{f'together, on {cores} cores':32s} {time.perf_counter() - start:9.1f}")


def in_a_fresh_process(script: Path, **environment: str) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of one chapter."""
    done = subprocess.run(
        [sys.executable, __file__, "--chapter", str(script)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    if done.returncode:
        sys.exit(f"{script.name} failed:\n{done.stderr}")
    seconds, memory = done.stdout.split()[-2:]
    return float(seconds), float(memory)


def chapter(script: Path) -> None:
    """Execute one chapter in a kernel; print its seconds and the kernel's peak memory in MiB."""
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(script)
    start = time.perf_counter()
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=600,
        resources={"metadata": {"path": str(script.parent)}},
    ).execute()
    elapsed = time.perf_counter() - start
    # The kernel and what it forked have ended. The highest peak of one process is the kernel's; the
    # processes of a sweep share most of their memory with it, and what they add is not counted.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(elapsed, peak / (1024**2 if sys.platform == "darwin" else 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chapters", action="store_true", help="time and memory of every chapter")
    parser.add_argument("--chapter", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=55, help="for the throughput (55)")
    options = parser.parse_args()
    if options.chapter:
        chapter(options.chapter)
    elif options.chapters:
        chapters()
    else:
        throughput(options.seconds)


if __name__ == "__main__":
    main()
