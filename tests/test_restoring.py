"""restored: everything is as it was, bit for bit. Most of that is tested with find_lr."""

import pytest
import torch
from test_lr_finder import World, assert_same
from torch import nn
from torch.optim import SGD, AdamW

from lrlib import lr_finder
from lrlib.restoring import restored


def test_restored_can_rewind_without_the_random_states():
    world = World(AdamW, {}).train(2)
    before = world.state()
    with restored(world.optimizer, model=world.model, data=world.own) as rewind:
        world.train(3)
        rewind()
        between = world.state()
        for name in before:
            if name in ("random", "own"):
                with pytest.raises(AssertionError):
                    assert_same(before[name], between[name])
            else:
                assert_same(before[name], between[name])
    assert_same(before, world.state())


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_the_random_states_of_devices_are_put_back(device, monkeypatch):
    """On devices that are not there: what torch is asked for is what it is given back."""
    states = {"cuda": [torch.arange(3), torch.arange(5)], "mps": torch.arange(7)}
    asked = {"cuda": (torch.cuda, "rng_state_all"), "mps": (torch.mps, "rng_state")}
    there = {"cuda": (torch.cuda, "is_initialized"), "mps": (torch.backends.mps, "is_available")}
    module, name = asked[device]
    given = []
    for kind, (where, question) in there.items():
        monkeypatch.setattr(where, question, lambda kind=kind: kind == device)
    monkeypatch.setattr(module, f"get_{name}", lambda: states[device])
    monkeypatch.setattr(module, f"set_{name}", given.append)
    with restored(SGD([nn.Parameter(torch.ones(1))], lr=0.1)) as rewind:
        rewind()
        assert given == []
    assert len(given) == 1 and given[0] is states[device]


def test_it_says_its_own_name_and_is_still_found_beside_the_finder():
    assert lr_finder.restored is restored
    with pytest.raises(TypeError, match="restored: optimizer must be a torch Optimizer, got 3"):
        with restored(3):
            pass
