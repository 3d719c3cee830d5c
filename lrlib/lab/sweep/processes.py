"""Train the parts of a sweep on this machine: on every core one part at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, ThreadPoolExecutor, wait
from functools import partial
from threading import Event, Thread

import torch

from lrlib.lab._progress import Progress
from lrlib.lab.sweep.parts import Measured, Training
from lrlib.lab.sweep.work import Work


def train_here(work: Work, bar: Progress) -> list[Measured]:
    """Train every part, each core in its own process where they can be forked.

    With one thread per part, torch's own threads have nothing to share out. Those wait by
    spinning, which makes training many times slower as soon as another program uses a core.
    """
    threads, on_cpu, forks = torch.get_num_threads(), work.device.type == "cpu", can_fork()
    parts, cores = [work.part(slices) for slices in work.split(forks)], work.cores(forks)
    models, source, order = work.models(), work.sources["train"], None
    if work.sizes is not None:
        order = list(source.order(work.plan.seeds, work.sizes))

    def train(i: int) -> Measured:
        training = Training(parts[i], work.task.loss, [models[k] for k in parts[i].which])
        return training.go_on(work.sources, order, partial(done.__setitem__, i), stop.is_set)

    if on_cpu:
        torch.set_num_threads(1)
    try:
        if forks and cores > 1:
            work.rehearse(models[0])
            context = multiprocessing.get_context("fork")
            done, stop, job = context.RawArray("q", len(parts)), context.Event(), _inherited
            pool = ProcessPoolExecutor(cores, context, _inherit, (train, os.getpid()))
        else:
            done, stop, job = [0] * len(parts), Event(), train
            pool = ThreadPoolExecutor(cores)
        with pool:
            jobs = [pool.submit(job, i) for i in range(len(parts))]
            try:
                while wait(jobs, timeout=0.2, return_when=FIRST_EXCEPTION).not_done:
                    for future in jobs:
                        if future.done():
                            future.result()  # raises at once what a part failed of
                    bar.update(sum(done) // len(parts))
            finally:
                stop.set()  # also when the user interrupts: no part trains on in the background
            return [future.result() for future in jobs]
    finally:
        torch.set_num_threads(threads)


def can_fork() -> bool:
    """Whether parts may train in forked processes: not beside CUDA, whose threads do not survive.

    Only on Linux; macOS can fork, but its own libraries then fail at times.
    """
    return sys.platform == "linux" and not torch.cuda.is_initialized()


_train: Callable[[int], Measured]  # in a forked process, what its parent would have run


def _inherit(train: Callable[[int], Measured], parent: int) -> None:
    """Begin a forked process: it holds all that `train` needs, so nothing has to be pickled."""
    global _train
    _train = train
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and sets `stop`
    Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent: int) -> None:
    """End this process when its parent has been killed and so cannot."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _inherited(i: int) -> Measured:
    return _train(i)
