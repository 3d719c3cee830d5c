"""ScheduledLR inside the wrappers of other libraries: the real one where it is installed, and a
stand-in of the same interface always."""

import copy
import dataclasses
import functools
import importlib
import importlib.util
import io
import pickle
import types
import warnings
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHAPES
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lrlib import Constant, CosineAnnealing, LRTrace, ScheduledLR, Warmup

SHAPE = CosineAnnealing(40)


def parameters():
    return [nn.Parameter(torch.ones(3))]


def base(**options):
    return SGD([{"params": parameters()}, {"params": parameters(), "lr": 0.2}], lr=0.1, **options)


class Accelerated(Optimizer):
    """accelerate.optimizer.AcceleratedOptimizer: never calls the constructor of Optimizer."""

    __module__ = "accelerate.optimizer"

    def __init__(self, optimizer):
        self.optimizer = optimizer

    state = property(lambda self: self.optimizer.state)
    defaults = property(lambda self: self.optimizer.defaults)
    param_groups = property(lambda self: self.optimizer.param_groups)

    def add_param_group(self, group):
        self.optimizer.add_param_group(group)

    def step(self, closure=None):
        self.optimizer.step(closure)

    def state_dict(self):
        return self.optimizer.state_dict()

    def load_state_dict(self, state):
        self.optimizer.load_state_dict(state)


class Lookahead(Optimizer):
    """timm.optim.Lookahead: has the step hooks of an Optimizer, but nothing runs them."""

    def __init__(self, base_optimizer):
        self._optimizer_step_pre_hooks = OrderedDict()
        self._optimizer_step_post_hooks = OrderedDict()
        self._base_optimizer = base_optimizer
        self.param_groups = base_optimizer.param_groups
        self.defaults = base_optimizer.defaults
        self.state = defaultdict(dict)

    def step(self, closure=None):
        return self._base_optimizer.step(closure)

    def state_dict(self):
        return self._base_optimizer.state_dict()

    def load_state_dict(self, state):
        self._base_optimizer.load_state_dict(state)
        self.param_groups = self._base_optimizer.param_groups


class SAM(Optimizer):
    """An outer optimizer as most programs write it; its users call the two halves of its step."""

    def __init__(self, inner):
        super().__init__(inner.param_groups, {"rho": 0.05})
        self.base_optimizer = inner
        inner.param_groups = self.param_groups

    def step(self, closure=None):
        self.base_optimizer.step()

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.base_optimizer.param_groups = self.param_groups


class Halves(SAM):
    def second_step(self):
        self.base_optimizer.step()


class OptimWrapper:
    """fastai.optimizer.OptimWrapper: no Optimizer, and its param_groups are made anew each time."""

    def __init__(self, opt):
        self.opt = opt

    @property
    def param_groups(self):
        return [dict(group) for group in self.opt.param_groups]

    def step(self):
        self.opt.step()

    def state_dict(self):
        return self.opt.state_dict()

    def load_state_dict(self, state):
        self.opt.load_state_dict(state)


class ScheduleFree:
    """schedulefree.ScheduleFreeWrapper: no Optimizer."""

    def __init__(self, base):
        self.base = base

    param_groups = property(lambda self: self.base.param_groups)

    def step(self, closure=None):
        self.base.step()

    def state_dict(self):
        return self.base.state_dict()

    def load_state_dict(self, state):
        self.base.load_state_dict(state)


def installed(name):
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):  # torchvision may be of another torch
        pytest.skip(f"needs {name}")


def real_lookahead(optimizer):
    """timm's file by itself, which needs none of timm's own requirements."""
    spec = importlib.util.find_spec("timm")
    if spec is None:
        pytest.skip("needs timm")
    path = Path(spec.origin).parent / "optim" / "lookahead.py"
    spec = importlib.util.spec_from_file_location("lookahead", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Lookahead(optimizer)


def real_accelerated(optimizer):
    return installed("accelerate").Accelerator(cpu=True).prepare(optimizer)


def real_schedule_free(optimizer):
    wrapper = installed("schedulefree").ScheduleFreeWrapper(optimizer)
    wrapper.train()
    return wrapper


WRAPPERS = {
    "accelerate": (Accelerated, "inner"),
    "timm": (Lookahead, "outer"),
    "SAM": (SAM, "outer"),
    "SAM, in halves": (Halves, "outer"),
    "fastai": (OptimWrapper, "inner"),
    "Schedule-Free": (ScheduleFree, "inner"),
    "accelerate around timm": (lambda it: Accelerated(Lookahead(it)), None),
    "real accelerate": (real_accelerated, "inner"),
    "real timm": (real_lookahead, "outer"),
    "real fastai": (lambda it: installed("fastai.optimizer").OptimWrapper(opt=it), "inner"),
    "real Schedule-Free": (real_schedule_free, "inner"),
}


@pytest.mark.parametrize("self_driving", [False, True])
@pytest.mark.parametrize("name", WRAPPERS)
def test_the_optimizer_inside_is_driven_watched_and_resumed(name, self_driving):
    wrap, named = WRAPPERS[name]
    inner = base(momentum=0.9)
    outer = wrap(inner)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        scheduler = ScheduledLR(outer, SHAPE, self_driving=self_driving)
        trace = LRTrace(outer)
        update = outer.second_step if isinstance(outer, Halves) else outer.step

        def run(steps):
            for _ in range(steps):
                for group in inner.param_groups:
                    for parameter in group["params"]:
                        parameter.grad = torch.ones_like(parameter)
                update()
                scheduler.step()

        run(8)
        saved = copy.deepcopy((outer.state_dict(), scheduler.state_dict()))
        run(3)
        scheduler.load_state_dict(saved[1])
        outer.load_state_dict(saved[0])
        run(4)
    if named is not None:
        assert scheduler.optimizer is (inner if named == "inner" else outer)
    steps = [*range(11), *range(8, 12)]
    assert trace.lr.tolist() == [[0.1 * SHAPE(t), 0.2 * SHAPE(t)] for t in steps]


def test_where_there_is_no_torch_optimizer_inside_it_says_what_to_hand_over():
    class Own:
        """As fastai's own Optimizer."""

        param_groups = ()

        def step(self):
            pass

    class Two:
        def __init__(self):
            self.a, self.b = base(), base()

    class Unbuilt(Optimizer):
        def __init__(self):
            pass

        param_groups = ()

    for build in (lambda it: ScheduledLR(it, SHAPE), LRTrace):
        with pytest.raises(TypeError, match=r"must be a torch Optimizer, got .*; build .* on the"):
            build(Own())
        with pytest.raises(TypeError, match="must be a torch Optimizer, got"):
            build(Two())
        with pytest.raises(TypeError, match=r"Unbuilt; build .* before accelerator"):
            build(Unbuilt())


def test_an_outer_optimizer_with_groups_of_its_own_is_driven_itself(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        model = nn.Linear(2, 2)
        optimizer = ZeroRedundancyOptimizer(model.parameters(), AdamW, lr=0.1)
        scheduler, trace = ScheduledLR(optimizer, SHAPE), LRTrace(optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            for t in range(5):
                model(torch.ones(2)).sum().backward()
                optimizer.step()
                assert optimizer.optim.param_groups[0]["lr"] == 0.1 * SHAPE(t)
                scheduler.step()
        trace.assert_matches(SHAPE, 0.1)
    finally:
        torch.distributed.destroy_process_group()


# --- ignite and skorch


class IgniteScheduler:
    """ignite.handlers.LRScheduler, which moves last_epoch itself and writes get_lr()."""

    def __init__(self, lr_scheduler, use_legacy=False):
        assert isinstance(lr_scheduler, LRScheduler)
        self.lr_scheduler = lr_scheduler
        if use_legacy:
            lr_scheduler.last_epoch += 1

    def __call__(self, engine):
        rates = self.lr_scheduler.get_lr()
        for group, rate in zip(self.lr_scheduler.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self.lr_scheduler.last_epoch += 1

    def state_dict(self):
        return self.lr_scheduler.state_dict()

    def load_state_dict(self, state):
        self.lr_scheduler.load_state_dict(state)


def real_ignite(scheduler, use_legacy=False):
    return installed("ignite.handlers").LRScheduler(scheduler, use_legacy=use_legacy)


@pytest.mark.filterwarnings("error:::lrlib")
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("build", [IgniteScheduler, real_ignite])
def test_through_ignites_wrapper(build, legacy):
    def run(handler, optimizer, steps):
        for _ in range(steps):
            if not legacy:
                handler(None)  # at ITERATION_STARTED
            optimizer.step()
            if legacy:
                handler(None)  # at ITERATION_COMPLETED

    with warnings.catch_warnings(record=True) as caught:
        optimizer = base()
        handler, trace = build(ScheduledLR(optimizer, SHAPE), use_legacy=legacy), LRTrace(optimizer)
        run(handler, optimizer, 6)
        optimizer.add_param_group({"params": parameters(), "lr": 0.3})
        run(handler, optimizer, 2)
        for group, peak in enumerate((0.1, 0.2, 0.3)):
            trace.assert_matches(SHAPE, peak, group=group)
        saved = copy.deepcopy((optimizer.state_dict(), handler.state_dict()))
        resumed = base()
        resumed.add_param_group({"params": parameters(), "lr": 0.3})
        handler = build(ScheduledLR(resumed, SHAPE), use_legacy=legacy)
        resumed.load_state_dict(saved[0])
        handler.load_state_dict(saved[1])
        trace = LRTrace(resumed)
        run(handler, resumed, 5)
    trace.assert_matches(SHAPE, 0.3, group=2, start=8)
    assert not [one for one in caught if "ScheduledLR" in str(one.message)]


def test_ignites_simulation_leaves_the_scheduler_as_it_was():
    handlers = installed("ignite.handlers")
    scheduler = ScheduledLR(base(), SHAPE)
    values = handlers.LRScheduler.simulate_values(5, scheduler)
    assert [row[1] for row in values] == [0.1 * SHAPE(t) for t in range(5)]
    assert scheduler.last_epoch == 0 and scheduler.get_last_lr() == [0.1, 0.2]


def test_ignites_wrapper_called_once_per_epoch_is_noticed():
    optimizer = base()
    handler = IgniteScheduler(ScheduledLR(optimizer, SHAPE))
    with pytest.warns(UserWarning, match="once per epoch"):
        for _ in range(2):
            handler(None)
            for _ in range(5):
                optimizer.step()


@pytest.mark.parametrize("every", ["batch", "epoch"])
def test_skorchs_way_of_building_schedulers(every):
    """A new one for every fit, told the number of epochs so far as last_epoch."""
    optimizer, epochs, trace = base(), 0, []
    for _ in range(2):
        scheduler = ScheduledLR(optimizer, last_epoch=epochs - 1, shape=SHAPE)
        with LRTrace(optimizer) as record, warnings.catch_warnings():
            warnings.simplefilter("ignore" if every == "epoch" else "error")
            for _ in range(2):
                for _ in range(5):
                    optimizer.step()
                    if every == "batch":
                        scheduler.step()
                epochs += 1
                if every == "epoch":
                    scheduler.step()
        trace += record.lr[:, 0].tolist()
    assert trace == [0.1 * SHAPE(t if every == "batch" else t // 5) for t in range(20)]


def test_through_skorch():
    skorch, callbacks = installed("skorch"), installed("skorch.callbacks")
    policy = callbacks.LRScheduler(policy=ScheduledLR, shape=SHAPE, step_every="batch")
    x = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    net = skorch.NeuralNetRegressor(
        nn.Linear(3, 1), lr=0.1, batch_size=10, max_epochs=2, train_split=None, verbose=0
    )
    net.set_params(callbacks=[("rates", policy)])
    net.initialize()
    with LRTrace(net.optimizer_) as trace:
        net.partial_fit(x, x[:, :1])
        net.partial_fit(x, x[:, :1])
    trace.assert_matches(SHAPE, 0.1)
    assert len(trace) == 20
    assert policy.simulate(5, 0.1).tolist() == [0.1 * SHAPE(t) for t in range(5)]


# --- torch.compile and LambdaLR


@pytest.mark.parametrize("build", [LambdaLR, ScheduledLR])
@pytest.mark.parametrize("kind", [SGD, AdamW])
def test_torch_compile_of_optimizer_and_scheduler_compiles_once(build, kind):
    torch._dynamo.reset()
    optimizer = kind(parameters(), lr=torch.tensor(0.1))
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    scheduler, trace, graphs = build(optimizer, SHAPE), LRTrace(optimizer), []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    @torch.compile(backend=backend)
    def update():
        optimizer.step()
        scheduler.step()

    for _ in range(20):
        update()
    assert len(graphs) == 1
    trace.assert_matches(SHAPE, 0.1, rtol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_lambda_lr_drives_and_resumes_without_touching_the_shape(name):
    shape, other = SHAPES[name], Warmup(3).then(CosineAnnealing(99))
    optimizer = base()
    scheduler, trace = LambdaLR(optimizer, shape), LRTrace(optimizer)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    trace.assert_matches(shape, 0.1)
    file = io.BytesIO()
    torch.save(scheduler.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    for new in (copy.deepcopy(shape), other):
        before = repr(new), hash(new)
        resumed = LambdaLR(base(), new)
        resumed.load_state_dict(state)
        assert (repr(new), hash(new), resumed.last_epoch) == (*before, 5)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_still_copied_pickled_and_looked_into(name):
    shape = SHAPES[name]
    for twin in (copy.copy(shape), copy.deepcopy(shape), pickle.loads(pickle.dumps(shape))):
        assert twin == shape and twin.sample(20).tolist() == shape.sample(20).tolist()
    assert dict(vars(shape)) == {field: getattr(shape, field) for field in vars(shape)}
    assert {f.name for f in dataclasses.fields(shape)} == set(vars(shape))
    vars(shape)["new"] = 1
    assert "new" not in vars(shape)


def test_what_a_schedule_caches_is_computed_once():
    asked = []

    @dataclasses.dataclass(frozen=True)
    class Table(Constant):
        @functools.cached_property
        def table(self):
            asked.append(self)
            return [0.5] * 50

        def formula(self, step):
            return self.table[step]

    shape = Table(0.5)
    assert shape.sample(50).tolist() == [0.5] * 50
    assert len(asked) == 1
    assert shape == Table(0.5) and copy.deepcopy(shape).sample(9).tolist() == [0.5] * 9
    scheduler = LambdaLR(base(), shape)
    assert scheduler.state_dict()["lr_lambdas"] == [{}, {}] and len(asked) == 1


def test_an_attribute_that_is_no_field_survives_a_copy():
    class Own(Constant):
        def __init__(self):
            super().__init__(0.5)
            object.__setattr__(self, "note", types.SimpleNamespace(text="mine"))

    assert copy.deepcopy(Own()).note.text == "mine"
