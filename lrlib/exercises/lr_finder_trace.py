"""Checker of chapter 09's exercise 3: a test that leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lrlib.exercises import Ask, Like, Limit, Mistake, exercise, run, short

_BREAKS: dict[str, type[BaseException]] = {
    Like("broken off by an exception"): RuntimeError,
    Like("stopped by a KeyboardInterrupt"): KeyboardInterrupt,
}


# --- Wrappers, right and wrong


def _ways(model: nn.Module, optimizer: Optimizer, copied: str) -> dict[str, Callable[[], Any]]:
    """What a wrapper may do afterwards, by name; the first five are right."""
    weights, state = model.state_dict(), optimizer.state_dict()
    weights = copy.deepcopy(weights) if "model" in copied else weights
    state = copy.deepcopy(state) if "optimizer" in copied else state
    values = [(p, p.detach().clone()) for p in model.parameters()]
    rates = [(k, group["lr"]) for k, group in enumerate(optimizer.param_groups)]
    modes, random = [(part, part.training) for part in model.modules()], torch.get_rng_state()
    now = optimizer.state_dict
    return {
        "model": lambda: model.load_state_dict(weights),
        "optimizer": lambda: optimizer.load_state_dict(state),
        "modes": lambda: [setattr(part, "training", mode) for part, mode in modes],
        "gradients": lambda: model.zero_grad(),
        "random": lambda: torch.set_rng_state(random),
        "values": lambda: [p.data.copy_(value) for p, value in values],
        "assign": lambda: model.load_state_dict(weights, assign=True),
        "rates": lambda: [optimizer.param_groups[k].update(lr=rate) for k, rate in rates],
        "state": lambda: optimizer.load_state_dict({**now(), "state": state["state"]}),
        "state if any": lambda: state["state"] and optimizer.load_state_dict(state),
        "no state": lambda: optimizer.state.clear(),
        "mode": lambda: model.train(modes[0][1]),
        "zeros": lambda: model.zero_grad(set_to_none=False),
        "seed": lambda: torch.manual_seed(0),
        "draw": lambda: torch.rand(1),
    }


def _but(
    without: str = "",
    then: str = "",
    copied: str = "model, optimizer",
    caught: type[BaseException] | tuple = BaseException,
    ended: bool = True,
    swallows: bool = False,
    calls: int = 1,
) -> Callable[..., Any]:
    """The right wrapper, `without` one of its ways back, and with another that comes `then`."""

    def without_trace(model: nn.Module, optimizer: Optimizer, test: Callable[[], Any]) -> Any:
        ways, result, error = _ways(model, optimizer, copied), None, None
        try:
            for _ in range(calls):
                result = test()
        except caught as raised:
            error = raised
        for name in [*list(ways)[:5], then]:
            if name not in ("", without) and (ended or error):
                ways[name]()
        if error and not swallows:
            raise error
        return result

    return without_trace


# --- What is looked at


def _made(updates: int) -> tuple[nn.Sequential, Optimizer]:
    """A model with everything that a test can leave a trace in, and its optimizer."""
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 1)
    )
    model[3].eval()  # frozen, as in fine-tuning, while the rest is in train mode
    groups = [{"params": model[:3].parameters(), "lr": 0.01}, {"params": model[3:].parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    for _ in range(updates):
        _update(model, optimizer)
    return model, optimizer


def _update(model: nn.Module, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.randn(8, 3)).square().mean().backward()
    optimizer.step()


def _now(model: nn.Module, optimizer: Optimizer) -> dict[str, list]:
    """All that a test may not change, as plain numbers."""
    parameters, groups = list(model.parameters()), optimizer.param_groups
    states = [optimizer.state.get(p, {}) for p in parameters]
    return {
        "tensors": [id(p) for p in parameters],
        "optimizer's tensors": [id(p) for group in groups for p in group["params"]],
        "weights": [p.tolist() for p in parameters],
        "buffers": [buffer.tolist() for buffer in model.buffers()],
        "modes": [part.training for part in model.modules()],
        "state": [{k: torch.as_tensor(v).tolist() for k, v in state.items()} for state in states],
        "rates": [{**group, "params": None} for group in groups],
        "random numbers": torch.get_rng_state().tolist(),
        "gradients": [None if p.grad is None else p.grad.tolist() for p in parameters],
    }


def _become(before: list, end: list, after: list, loaded: bool) -> Like:
    """What became of what was `before` the test, and another at its `end`."""
    if before == after:
        return Like("kept")
    if end == after:
        return Like("loaded" if loaded else "left")
    return Like("other" if any(after) else "empty")


def _passed_on(function: Any, args: tuple[Any, ...], planned: BaseException) -> str:
    """What became of the exception that the test raised; nothing, if it was passed on."""
    try:
        run(function, *args)
    except BaseException as error:
        if error is planned:
            return ""
        if not isinstance(error, Exception):
            raise  # stopped by the learner, or a loop without end
        return f"your function raised {type(error).__name__}: {error}"
    return "your function swallowed the exception"


@torch.random.fork_rng(devices=[])
def _observed(ask: Ask, test_is: str) -> dict[str, Any]:
    torch.manual_seed(9)
    model, optimizer = _made(0 if "first" in test_is else 2)
    loaded: dict[str, bool] = {}
    model.register_load_state_dict_post_hook(lambda *_: loaded.update(weights=True))
    optimizer.register_load_state_dict_post_hook(lambda *_: loaded.update(state=True))
    before, _alive = _now(model, optimizer), list(model.parameters())  # their ids stay theirs
    begins, ends = [], []
    limit, result = Limit(100, "calls of test"), object()
    planned = _BREAKS[test_is]("out of memory") if test_is in _BREAKS else None

    def test() -> object:
        limit()
        begins.append(_now(model, optimizer))
        model.train()
        for rate in (0.2, 0.4, 0.8):
            for group in optimizer.param_groups:
                group["lr"] = rate
            _update(model, optimizer)
        model.eval()
        ends.append(_now(model, optimizer))
        loaded.clear()
        if planned is not None:
            raise planned
        return result

    lost = _passed_on(ask.function, (model, optimizer, test), planned) if planned else ""
    answer = None if planned else ask(model, optimizer, test)
    if not ends:
        raise Mistake("test was not called. Call it once, without arguments.")
    after = _now(model, optimizer)
    pairs = zip(before["gradients"], after["gradients"], strict=False)
    before["gradients"] = [new and old for old, new in pairs]  # None is as good as the old ones
    became = {
        name: _become(old, ends[0][name], after[name], name in loaded)
        for name, old in before.items()
    }
    if planned:
        others = ", ".join(name for name, word in became.items() if word != "kept")
        return {"exception": Like(lost or (others and f"not as before: {others}"))}
    began = [name for name, old in before.items() if begins[0][name] != old]
    return {
        "calls": len(ends),
        "began": Like(", ".join(name for name in began if name != "gradients")),
        "returned": Like("its" if answer is result else short(answer)),
        **became,
    }


_TENSORS = "there are new parameter tensors. load_state_dict writes into those that are there."
_LOADED = (
    "the {} what the test left, although you loaded a state. A state_dict() holds the tensors "
    "themselves, which the test changes: keep copy.deepcopy({}.state_dict()), before the test."
)
_PARTS = ("weights", "buffers", "modes", "state", "rates", "random numbers", "gradients")
# What is looked at when the test has come to its end: all but the exception.
ENDED = ("calls", "began", "returned", "tensors", "optimizer's tensors", *_PARTS)
_RANDOM = "torch's random numbers are not those that would have come without the test. "
check_without_trace = exercise(
    "Exercise 3: ``without_trace(model, optimizer, test)``, which puts everything back.",
    right=_but(),
    names=("test",),
    cases=((Like("as usual"),), (Like("made before the first update"),), *zip(_BREAKS)),
    read=_observed,
    noun="test",
    rules_out="lrlib",
    wrong=(
        ("test was called {given} times. Call it once.", _but(calls=2)),
        (
            "the weights are back, and batch norm's buffers are not. model.state_dict() has both.",
            _but("model", "values"),
        ),
        (_LOADED.format("weights are", "model"), _but(copied="optimizer"), _but(copied="")),
        (
            "the weights are those that the test left. Put back the caller's.",
            lambda model, optimizer, test: test(),
            _but("model"),
        ),
        (
            "the mode, train or eval, is what the test left. state_dict() knows nothing of modes.",
            _but("modes"),
        ),
        (
            "the model is in train mode again, and so is a frozen batch norm that was in eval "
            "mode. Keep the mode of every one of model.modules().",
            _but("modes", "mode"),
        ),
        (_LOADED.format("optimizer's state is", "optimizer"), _but(copied="model")),
        (
            "the state is back, and the rates, in optimizer.param_groups, are those of the test.",
            _but("optimizer", "state"),
        ),
        (
            "the optimizer's state is empty. The run had running means, and begins them again.",
            _but("", "no state"),
        ),
        (
            "the optimizer's state is the test's. It had none, which load_state_dict brings back.",
            _but("optimizer", "state if any"),
        ),
        (
            "the optimizer's state, such as Adam's running means, is that of rates that blow up.",
            _but("optimizer", "rates"),
            _but("optimizer"),
        ),
        (_RANDOM + "Keep torch.get_rng_state().", _but("random")),
        (
            _RANDOM + "Did you set a seed? Put back torch.get_rng_state() as the last thing.",
            _but("random", "seed"),
            _but("", "draw"),
        ),
        (
            "the last gradients of the test are still there. model.zero_grad() makes them None.",
            _but("gradients"),
        ),
        (
            "the gradients are 0 now, which is neither None nor as before.",
            _but("gradients", "zeros"),
        ),
        ("you put things back if the test ends, and not here. Use `finally`.", _but(caught=())),
        (
            "`except Exception` does not see it. Put all back in a `finally`.",
            _but(caught=Exception),
        ),
        ("you put things back only if the test breaks off. Use `finally`.", _but(ended=False)),
        (
            "your function swallowed the exception. Use `finally`, without a `return` in it.",
            _but(swallows=True),
        ),
        (_TENSORS, _but("model", "assign")),
    ),
    differs={
        **{part: f"the {part} are not those of before." for part in _PARTS},
        **dict.fromkeys(("tensors", "optimizer's tensors"), _TENSORS),
        "calls": "test was called {given} times. Call it once.",
        "began": "the test began with other {given} than your function was given. Keep a copy "
        "before the test, and put it back after it.",
        "returned": "you returned {given}, not what test() returned: the curve is lost.",
        "exception": "{given}. Put everything back in a `finally`, and let the exception pass.",
    },
    passed="the run goes on as if there had been no test.",
)
