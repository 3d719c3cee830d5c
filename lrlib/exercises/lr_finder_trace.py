"""Checker of chapter 09's exercise 3: a test that leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lrlib.exercises import Ask, Like, Limit, Mistake, exercise, run, short


class _Broken(Exception):
    """What the checker's test raises."""


# What becomes of the test, or whom it tests.
_USUAL, _FRESH = "as usual", "before the first update"
_BREAKS = {
    "breaks off by an exception": _Broken,
    "is stopped by a KeyboardInterrupt": KeyboardInterrupt,
}


# --- Right and wrong wrappers


def _ways_back(model: nn.Module, optimizer: Optimizer, copied: str) -> dict[str, Callable[[], Any]]:
    """What a wrapper may do afterwards, by name; the first five are right."""
    weights, state = model.state_dict(), optimizer.state_dict()
    weights = copy.deepcopy(weights) if "model" in copied else weights
    state = copy.deepcopy(state) if "optimizer" in copied else state
    values = [p.detach().clone() for p in model.parameters()]
    rates = [group["lr"] for group in optimizer.param_groups]
    modes, random = [(part, part.training) for part in model.modules()], torch.get_rng_state()

    def rates_back() -> None:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    return {
        "model": lambda: model.load_state_dict(weights),
        "optimizer": lambda: optimizer.load_state_dict(state),
        "modes": lambda: [setattr(part, "training", mode) for part, mode in modes],
        "gradients": model.zero_grad,
        "random": lambda: torch.set_rng_state(random),
        "values": lambda: [
            p.data.copy_(v) for p, v in zip(model.parameters(), values, strict=True)
        ],
        "assign": lambda: model.load_state_dict(weights, assign=True),
        "rates": rates_back,
        "state": lambda: optimizer.load_state_dict(
            {**optimizer.state_dict(), "state": state["state"]}
        ),
        "state if any": lambda: state["state"] and optimizer.load_state_dict(state),
        "no state": lambda: optimizer.state.clear(),
        "mode": lambda: model.train(modes[0][1]),
        "train": model.train,
        "zeros": lambda: model.zero_grad(set_to_none=False),
        "seed": lambda: torch.manual_seed(0),
        "draw": lambda: torch.rand(1),
    }


def _wrapper(
    back: str = "model, optimizer, modes, gradients, random",
    copied: str = "model optimizer",
    caught: type[BaseException] | tuple = BaseException,
    ended: bool = True,
    swallows: bool = False,
    calls: int = 1,
    first: str = "",
) -> Callable[..., Any]:
    """A wrapper that does what `back` names, if the test ended, and if it raised what is caught."""

    def without_trace(model: nn.Module, optimizer: Optimizer, test: Callable[[], Any]) -> Any:
        ways, answer = _ways_back(model, optimizer, copied), None
        if first:
            ways[first]()
        try:
            for _ in range(calls):
                answer = test()
        except caught:
            for name in back.split(", "):
                ways[name]()
            if swallows:
                return None
            raise
        for name in back.split(", ") * ended:
            ways[name]()
        return answer

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


def _snapshot(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """A copy of all that a test may not change."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["params"]
    return copy.deepcopy(
        {
            "weights": [p.detach() for p in model.parameters()],
            "buffers": list(model.buffers()),
            "modes": [part.training for part in model.modules()],
            "state": state["state"],
            "rates": state["param_groups"],
            "random": torch.get_rng_state(),
            "gradients": [p.grad for p in model.parameters()],
        }
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


_OWNERS = {"weights": "model", "buffers": "model", "state": "optimizer", "rates": "optimizer"}


def _kept(
    before: dict[str, Any], end: dict[str, Any], after: dict[str, Any], loaded: Sequence[str]
) -> dict[str, str]:
    """What became of each part: kept, left as the test left it, empty, or something else."""

    def is_now(name: str) -> str:
        old, new = before[name], after[name]
        if name == "gradients":
            old = [None if b is None else a for a, b in zip(old, new, strict=True)]
        if _same(old, new):
            return "kept"
        if _same(end[name], new):
            return "left, though loaded" if _OWNERS.get(name) in loaded else "left"
        return "empty" if name == "state" and not new else "other"

    return {name: is_now(name) for name in before}


def _tensors(model: nn.Module, optimizer: Optimizer, parameters: Sequence[Tensor]) -> Like:
    """Whether the model has its `parameters`, and the optimizer these."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    for name, now in (("model", list(model.parameters())), ("optimizer", trained)):
        if len(now) != len(parameters) or any(map(lambda a, b: a is not b, now, parameters)):
            return Like(name)
    return Like("the same")


def _passed_on(ask: Ask, args: tuple[Any, ...], planned: BaseException) -> str:
    """What became of the exception that the test raised; nothing, if it was passed on."""
    try:
        run(ask.function, *args)
    except BaseException as error:
        if error is planned:
            return ""
        if isinstance(error, KeyboardInterrupt) or not isinstance(error, Exception):
            raise  # the learner's, at the keyboard, or a loop without end
        return f"your function raised {type(error).__name__}: {error}"
    return "your function swallowed the exception"


@torch.random.fork_rng(devices=[])
def _observed(ask: Ask, the_test: str) -> dict[str, Any]:
    torch.manual_seed(9)
    model, optimizer = _made(0 if the_test == _FRESH else 2)
    loaded: list[str] = []
    model.register_load_state_dict_post_hook(lambda *_: loaded.append("model"))
    optimizer.register_load_state_dict_post_hook(lambda *_: loaded.append("optimizer"))
    parameters, before = list(model.parameters()), _snapshot(model, optimizer)
    begins: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    limit, result = Limit(100, "calls of test"), object()
    planned = _BREAKS[the_test]("out of memory") if the_test in _BREAKS else None

    def test() -> object:
        limit()
        begins.append(_snapshot(model, optimizer))
        model.train()
        for rate in (0.2, 0.4, 0.8):
            for group in optimizer.param_groups:
                group["lr"] = rate
            _update(model, optimizer)
        model.eval()
        ends.append(_snapshot(model, optimizer))
        loaded.clear()
        if planned is not None:
            raise planned
        return result

    args = (model, optimizer, test)
    lost = _passed_on(ask, args, planned) if planned else ""
    answer = None if planned else ask(*args)
    if not ends:
        raise Mistake("test was not called. Call it once, without arguments.")
    kept = _kept(before, ends[0], _snapshot(model, optimizer), loaded)
    if planned:
        others = ", ".join(name for name, word in kept.items() if word != "kept")
        return {"exception": Like(lost or (others and f"not as before: {others}"))}
    began = [name for name in before if not _same(begins[0][name], before[name])]
    return {
        "calls": len(ends),
        "began": Like(", ".join(name for name in began if name != "gradients")),
        "returned": Like("its" if answer is result else short(answer)),
        "tensors": _tensors(model, optimizer, parameters),
        **kept,
    }


_COPIED = (
    "the {} what the test left, although you loaded a state. A state_dict() holds the tensors "
    "themselves, which the test changes: keep copy.deepcopy({}.state_dict()), before the test."
)
check_without_trace = exercise(
    "Exercise 3: ``without_trace(model, optimizer, test)``, which puts everything back.",
    right=_wrapper(),
    names=("the_test",),
    cases=((_USUAL,), (_FRESH,), *((breaks,) for breaks in _BREAKS)),
    read=_observed,
    noun="test",
    rules_out="lrlib",
    wrong=(
        (
            "the weights are those that the test left. Put them back into the caller's model.",
            lambda model, optimizer, test: test(),
            _wrapper("optimizer, modes, gradients, random"),
        ),
        (_COPIED.format("weights are", "model"), _wrapper(copied="optimizer"), _wrapper(copied="")),
        (_COPIED.format("optimizer's state is", "optimizer"), _wrapper(copied="model")),
        (
            "the weights are back, and the buffers are not: the running means of batch norm are "
            "those of the test. model.state_dict() has both.",
            _wrapper("values, optimizer, modes, gradients, random"),
        ),
        (
            "the model is in the mode in which the test left it. state_dict() knows nothing of "
            "modes: keep `training` of every one of model.modules().",
            _wrapper("model, optimizer, gradients, random"),
        ),
        (
            "the model is in train mode again, and so is a part of it that was in eval mode "
            "before, a frozen batch norm. Keep the mode of every one of model.modules().",
            _wrapper("model, optimizer, mode, gradients, random"),
        ),
        (
            "the optimizer's state is what the test left: Adam's running means are those of rates "
            "that blow up. Its state_dict() has them.",
            _wrapper("model, modes, gradients, random"),
            _wrapper("model, rates, modes, gradients, random"),
        ),
        (
            "the optimizer's state is back, and the rates are those of the test. They stand in "
            "optimizer.param_groups, and state_dict() has them.",
            _wrapper("model, state, modes, gradients, random"),
        ),
        (
            "the optimizer's state is empty. The run was under way: it had running means of the "
            "gradients, and begins them again.",
            _wrapper("model, optimizer, no state, modes, gradients, random"),
        ),
        (
            "the optimizer keeps the state that the test gave it. It had none, which is a state "
            "too: load_state_dict brings that back.",
            _wrapper("model, state if any, rates, modes, gradients, random"),
        ),
        (
            "torch's random numbers are not those that would have come without the test. Keep "
            "torch.get_rng_state(), and set it.",
            _wrapper("model, optimizer, modes, gradients"),
        ),
        (
            "torch's random numbers are not those that would have come without the test. Did you "
            "set a seed? Put back torch.get_rng_state() as the last thing you do.",
            _wrapper("model, optimizer, modes, gradients, seed"),
            _wrapper("model, optimizer, modes, gradients, random, draw"),
        ),
        (
            "the last gradients of the test are still there, and would be added to the next ones "
            "by a training loop that accumulates. Set them to None (model.zero_grad() does) or put "
            "the old ones back.",
            _wrapper("model, optimizer, modes, random"),
        ),
        (
            "the gradients are 0 now. They may be None or what they were; an optimizer with "
            "momentum goes on with 0, and skips None.",
            _wrapper("model, optimizer, modes, zeros, random"),
        ),
        (
            "you put things back if the test ends, and not if it breaks off. Let it happen in a "
            "`finally`.",
            _wrapper(caught=()),
        ),
        (
            "a KeyboardInterrupt is no Exception, so `except Exception` does not see it. Let all "
            "be put back in a `finally`.",
            _wrapper(caught=Exception),
        ),
        (
            "you put things back if the test breaks off, and not if it ends. Let it happen in a "
            "`finally`, which comes in both cases.",
            _wrapper(ended=False),
        ),
        (
            "your function swallowed the exception: who called it does not learn that there is no "
            "result. Use `finally` without a `return` in it, rather than `except`.",
            _wrapper(swallows=True),
        ),
        (
            "the model has new parameter tensors, which the optimizer does not know: it would go "
            "on training the old ones. Write the old values into the tensors that are there, as "
            "load_state_dict does.",
            _wrapper("assign, optimizer, modes, gradients, random"),
        ),
        ("test was called {given} times. Call it once.", _wrapper(calls=2)),
    ),
    differs={
        "calls": "test was called {given} times. Call it once.",
        "began": "the test began with other {given} than your function was given. Keep a copy "
        "before the test, and put it back after it.",
        "returned": "you returned {given}, not what test() returned: the curve is lost.",
        "tensors": "the {given} has other parameter tensors than before, so that one trains what "
        "the other does not use. Write the old values into the tensors that are there.",
        "weights": "the weights are not those of before.",
        "buffers": "the buffers, batch norm's running means, are not those of before.",
        "modes": "a part of the model is in another mode (train or eval) than before.",
        "state": "the optimizer's state is not that of before.",
        "rates": "the rates in optimizer.param_groups are not those of before.",
        "gradients": "the gradients are neither None nor those of before.",
        "exception": "{given}. Put everything back in a `finally`, and let the exception pass.",
    },
    passed="the run goes on as if there had been no test.",
)
