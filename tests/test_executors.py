"""sweep(executor=…): the same bits anywhere, errors as they were, and nothing left running."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch
from conftest import HalfCosine, Ramp, interruptible, processes_of
from torch import nn
from torch.nn import functional as F

from lrlib import Constant, OneCycle
from lrlib.lab import (
    SGD,
    AdamW,
    Fresh,
    Task,
    digits_task,
    images_task,
    load_digits,
    load_images,
    load_mnist1d,
    load_text,
    mlp,
    mnist1d_task,
    settings,
    sweep,
    text_task,
)
from lrlib.lab._progress import Progress
from lrlib.lab.data import Recipe
from lrlib.lab.sweep import executors, run

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Dask's event loops

SHAPES = {"constant": Constant(), "ramp": Ramp(20), "cosine": HalfCosine(30)}
MOMENTA = {"ramp": OneCycle(30).momentum()}


@contextmanager
def dask() -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    where = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(processes=True, **where) as cluster, Client(cluster) as client:
        yield client.get_executor()


KINDS = {
    "threads": lambda: ThreadPoolExecutor(3),
    "fork": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("fork")),
    "spawn": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
    "dask": dask,
}
if sys.platform != "linux":
    del KINDS["fork"]


@pytest.fixture(scope="module")
def pools():
    """name -> one executor for all tests, made when it is first asked for."""
    with ExitStack() as stack:
        yield lru_cache(lambda name: stack.enter_context(KINDS[name]()))


@pytest.fixture(params=KINDS)
def executor(request, pools):
    return pools(request.param)


@pytest.fixture
def spawned(pools):
    return pools("spawn")


@pytest.fixture
def cluster(pools):
    return pools("dask")


@pytest.fixture(autouse=True)
def two_cores():
    """A sweep has several parts."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.fixture
def short_turns(monkeypatch):
    monkeypatch.setattr(executors, "TURN", 0.05)


def assert_same_bits(result, expected):
    assert np.array_equal(result.train_loss, expected.train_loss, equal_nan=True)
    assert np.array_equal(result.lr, expected.lr)
    assert np.array_equal(result.momentum, expected.momentum)
    assert result.metrics.keys() == expected.metrics.keys()
    for name, values in expected.metrics.items():
        assert np.array_equal(result.metrics[name], values, equal_nan=True), name
    assert len(result.states) == len(expected.states)
    for ours, theirs in zip(result.states, expected.states, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def normalised():
    return nn.Sequential(nn.Linear(64, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 10))


def anew(seed):
    return load_digits().with_label_noise(0.2).draw(seed)


# name -> (task, seeds, arguments)
CASES = {
    "the book's": (
        mnist1d_task(),
        range(14),
        {"keep_states": True, "eval_steps": [0, 7, 20], "evaluate": ["val"], "steps": 20},
    ),
    "wrong labels, full batch": (digits_task(0.3), [4, 2], {"batch_size": None}),
    "general path, driven": (
        Task(load_digits(), normalised),
        range(5),
        {"optimizer": AdamW(weight_decay=0.1), "momentum_schedules": MOMENTA},
    ),
    "nesterov, driven": (
        digits_task(),
        [3, 0],
        {"optimizer": SGD(nesterov=True), "momentum_schedules": MOMENTA},
    ),
    "made anew": (Task(Fresh("anew", 10, anew), lambda: mlp(64, 8, 10)), [5, 3, 8], {}),
    "a pool of one's own": (
        Task(replace(load_digits(), noise=0.3), lambda: mlp(64, 8, 10)),
        [5, 3, 8],
        {"evaluate": ("train", "val")},
    ),
    "batches that grow": (digits_task(), [1], {"batch_size": [8] * 15 + [64] * 15}),
    "some diverge": (digits_task(), [1, 2], {"eval_steps": [0, 30], "peaks": [0.01, 1e25]}),
    "text": (
        text_task(context=12, depth=1, width=8, heads=2),
        [1],
        {"evaluate": ["val"], "optimizer": "adamw", "steps": 4},
    ),
}


def swept(name, **arguments):
    task, seeds, own = CASES[name]
    arguments = {"steps": 30, "peaks": [0.01, 0.03], "progress": False, **own, **arguments}
    return sweep(task, SHAPES, arguments.pop("peaks"), seeds, **arguments)


# --- the same bits


@pytest.mark.parametrize("name", CASES)
def test_every_executor_gives_the_bits_of_this_machine(name, executor, short_turns):
    assert_same_bits(swept(name, executor=executor), swept(name))


class Counting(ThreadPoolExecutor):
    """Counts what it is given."""

    jobs = 0

    def submit(self, *arguments, **keywords):
        self.jobs += 1
        return super().submit(*arguments, **keywords)


@pytest.mark.parametrize("name", ["the book's", "general path, driven", "nesterov, driven"])
def test_a_turn_may_be_as_short_as_a_step(name, monkeypatch):
    monkeypatch.setattr(executors, "TURN", 0.0)
    with Counting(1) as pool:
        result = swept(name, executor=pool, steps=8, eval_steps=[0, 3, 8])
        parts, left = divmod(pool.jobs, 8)
        assert parts >= 2 and left == 0
    assert_same_bits(result, swept(name, steps=8, eval_steps=[0, 3, 8]))


@pytest.mark.parametrize("ahead", [1, 2, 128])
def test_no_more_turns_wait_than_fit_and_none_is_lost(ahead, monkeypatch, short_turns):
    monkeypatch.setattr(executors, "AHEAD", ahead)
    waiting, most = set(), []

    class Watching(ThreadPoolExecutor):
        def submit(self, *arguments, **keywords):
            future = super().submit(*arguments, **keywords)
            waiting.add(future)
            most.append(sum(not it.done() for it in waiting))
            return future

    with Watching(3) as pool:
        result = swept("the book's", executor=pool)
    assert max(most) <= ahead
    assert_same_bits(result, swept("the book's"))


def test_turns_take_one_thread_and_leave_the_threads_as_they_were(spawned):
    assert spawned.submit(torch.set_num_threads, 2).result() is None
    task = images_task(channels=3)  # whose convolutions depend on the number of threads
    arguments = {"steps": 5, "evaluate": ["val"], "progress": False}
    result = sweep(task, SHAPES, [0.1], range(3), executor=spawned, **arguments)
    assert_same_bits(result, sweep(task, SHAPES, [0.1], range(3), **arguments))
    seen = {spawned.submit(torch.get_num_threads).result() for _ in range(8)}
    assert 2 in seen  # in the process, one of two, that was told so


def test_the_books_data_are_sent_by_name():
    for pool in (
        load_mnist1d(),
        load_digits().with_label_noise(0.2),
        load_images(28, shifts=True),
        load_text(7),
    ):
        recipe = pickle.loads(pickle.dumps(pool.recipe))
        assert len(pickle.dumps(recipe)) < 300
        assert recipe.gives(pool) and recipe.pool().noise == pool.noise
        assert torch.equal(recipe.pool().draw(3).train_y, pool.draw(3).train_y)
        assert replace(pool, classes=3).recipe is None


def test_a_pool_that_was_changed_is_sent_as_it_is(spawned):
    task = digits_task()
    task.data.x.mul_(0.5)
    assert isinstance(task.data.recipe, Recipe) and not task.data.recipe.gives(task.data)
    result, expected = (
        sweep(task, SHAPES, [0.1], [0], steps=3, executor=where) for where in (spawned, None)
    )
    assert_same_bits(result, expected)
    assert (result.train_loss != sweep(digits_task(), SHAPES, [0.1], [0], steps=3).train_loss).all()


# --- functions


def test_a_cluster_takes_any_function(cluster, short_turns):
    class Own(nn.Linear):
        """Not in any module."""

    task = Task(load_digits(), lambda: Own(64, 10), lambda outputs, y: F.cross_entropy(outputs, y))
    result = sweep(task, SHAPES, [0.1], [0, 1], steps=20, executor=cluster)
    assert_same_bits(result, sweep(task, SHAPES, [0.1], [0, 1], steps=20))


def test_processes_refuse_what_has_no_name(spawned):
    class Own(nn.Linear):
        """Not in any module."""

    def loss(outputs, y):
        return F.cross_entropy(outputs, y)

    for name, task in {
        "task.loss": Task(load_digits(), normalised, loss),
        "task.build": Task(load_digits(), lambda: Own(64, 10)),
    }.items():
        with pytest.raises(TypeError, match=rf"executor is a ProcessPool.*so {name} must be .*got"):
            sweep(task, SHAPES, [0.1], [0], steps=1, executor=spawned)
    # The function that builds a model stays here; only the model must have a name.
    sweep(Task(load_digits(), lambda: normalised()), SHAPES, [0.1], [0], steps=1, executor=spawned)


def test_processes_say_so_if_they_do_not_find_a_function(spawned, monkeypatch):
    """As one from a notebook, which is there in the process of the notebook alone."""

    def only_here(outputs, y):
        return F.cross_entropy(outputs, y)

    only_here.__module__, only_here.__qualname__ = "__main__", "only_here"
    monkeypatch.setattr(sys.modules["__main__"], "only_here", only_here, raising=False)
    task = Task(load_digits(), normalised, only_here)
    with pytest.raises(TypeError, match=r"task\.loss must be .*could not load it .*only_here"):
        sweep(task, SHAPES, [0.1], [0], steps=1, executor=spawned)
    swept("nesterov, driven", executor=spawned)  # the processes live


class OwnError(Exception):
    """An error of one's own."""


calls = 0


def fails_late(outputs, y):
    global calls
    calls += 1
    if calls > 6:  # not in the rehearsal
        raise OwnError("of the loss, at last")
    return F.cross_entropy(outputs, y)


def test_an_error_is_raised_as_it_was(executor):
    global calls
    calls = 0
    with pytest.raises(OwnError, match=r"^of the loss, at last$"):
        sweep(
            Task(load_digits(), normalised, fails_late),
            SHAPES,
            [0.1],
            [0],
            steps=20,
            executor=executor,
        )
    calls = 0


def test_a_model_that_fails_does_so_here(executor):
    def build():
        return nn.Sequential(nn.Linear(64, 10), nn.BatchNorm1d(10))

    with pytest.raises(ValueError, match="must have no buffers"):
        sweep(Task(load_digits(), build), SHAPES, [0.1], [0], steps=1, executor=executor)


@pytest.mark.parametrize("given", [3, "threads", ThreadPoolExecutor])
def test_only_executors_are_executors(given):
    with pytest.raises(
        TypeError, match=r"executor must be a concurrent\.futures\.Executor"
    ) as error:
        swept("the book's", executor=given)
    assert repr(given) in str(error.value)


# --- ended early


class Cancelling(Executor):
    def submit(self, *arguments, **keywords):
        future = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_work_that_is_cancelled_is_an_error():
    with pytest.raises(RuntimeError, match="executor cancelled what it was given"):
        swept("the book's", executor=Cancelling())


def test_an_interrupt_cancels_what_waits_and_ends_what_runs(monkeypatch):
    monkeypatch.setattr(executors, "TURN", 0.3)
    submitted, first = [], threading.Event()

    class Watching(ThreadPoolExecutor):
        def submit(self, *arguments, **keywords):
            submitted.append(super().submit(*arguments, **keywords))
            return submitted[-1]

    def interrupt(self, done):
        if done and not first.is_set():
            first.set()
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "update", interrupt)
    with Watching(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            sweep(mnist1d_task(), SHAPES, [0.1, 0.2], range(30), steps=100_000, executor=pool)
        began = time.monotonic()
        assert first.is_set() and pool.submit(int).result(timeout=10) == 0
        assert time.monotonic() - began < 5
    assert sum(future.cancelled() for future in submitted) >= 4
    assert all(future.done() for future in submitted)


PROGRAM = """
import os, signal, threading
from concurrent.futures import ProcessPoolExecutor
from lrlib import Constant, lab
from lrlib.lab._progress import Progress
from lrlib.lab.sweep import executors

executors.TURN = 1.0

def trained(executor, pid, number):
    begun = threading.Event()

    def update(self, done):
        if done and not begun.is_set():  # soon, while it waits
            begun.set()
            threading.Timer(0.1, os.kill, [pid, number]).start()

    Progress.update = update
    task = lab.mnist1d_task()
    lab.sweep(task, {"a": Constant()}, [0.1], range(9), steps=4000, executor=executor)

if __name__ == "__main__":
"""
INTERRUPTED = """
    with ProcessPoolExecutor(2) as pool:
        trained(pool, os.getpid(), signal.SIGINT)
"""
KILLED = """
    with ProcessPoolExecutor(2) as pool:
        trained(pool, pool.submit(os.getpid).result(), signal.SIGKILL)
"""
CLUSTER = """
    from distributed import Client, LocalCluster
    where = dict(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with LocalCluster(processes=True, **where) as cluster, Client(cluster) as client:
        pid = {pid}
        trained(client.get_executor(), pid, signal.{number})
        print("finished; workers changed:", pid not in client.run(os.getpid).values())
"""
WORKER = "min(client.run(os.getpid).values())"


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(INTERRUPTED, "KeyboardInterrupt", id="processes interrupted"),
        pytest.param(KILLED, BrokenProcessPool.__name__, id="a process killed"),
        pytest.param(
            CLUSTER.format(pid="os.getpid()", number="SIGINT"),
            "KeyboardInterrupt",
            id="cluster interrupted",
        ),
        pytest.param(
            CLUSTER.format(pid=WORKER, number="SIGKILL"),
            "finished; workers changed: True",
            id="a worker killed",
        ),
    ],
)
def test_whatever_ends_it_no_process_is_left(body, expected, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM + body)
    process = subprocess.Popen(
        [sys.executable, path],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=interruptible,
    )
    try:
        output = process.communicate(timeout=240)[0]  # on a busy machine
        assert expected in output, output
        assert (process.returncode == 0) is expected.startswith("finished")
        deadline = time.monotonic() + 60
        while processes_of(process.pid):
            assert time.monotonic() < deadline, processes_of(process.pid)
            time.sleep(0.1)
    finally:
        if processes_of(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


# --- a cluster for a whole chapter


@pytest.fixture
def no_clients_left():
    yield
    while settings._clients:
        settings._clients.popitem()[1].close()


def test_a_cluster_may_be_named_by_the_environment(cluster, monkeypatch, no_clients_left):
    expected = swept("the book's")
    monkeypatch.setenv("LRLIB_DASK", cluster._client.scheduler.address)

    def refuse(*arguments):
        raise AssertionError("trained here")

    monkeypatch.setattr(run, "train_here", refuse)
    assert_same_bits(swept("the book's"), expected)
    (client,) = settings._clients.values()
    assert settings.executor()._client is client  # one connection for all sweeps
    client.close()
    assert_same_bits(swept("the book's"), expected)  # and a new one if it is lost
    with ThreadPoolExecutor(1) as pool:
        assert settings.executor(pool) is pool  # an argument goes before


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://127.0.0.1:1"])
def test_an_address_without_a_scheduler_is_refused(address, monkeypatch):
    import dask
    import distributed  # noqa: F401  (which brings the settings that are changed here)

    monkeypatch.setenv("LRLIB_DASK", address)
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(ValueError, match="variable LRLIB_DASK must be the address") as error,
    ):
        swept("the book's")
    assert repr(address) in str(error.value)


def test_without_dask_its_variable_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("LRLIB_DASK", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"LRLIB_DASK needs Dask .* pip install distributed"):
        swept("the book's")
