"""The environment variables of the book."""

import itertools

import pytest
import torch

from lrlib.lab import device, scale, seed_offset, seeds, steps


def test_defaults():
    assert (seed_offset(), scale(), seeds(3), steps(7)) == (0, 1, [0, 1, 2], 7)


def test_tuning_judging_and_other_seeds_never_meet(monkeypatch):
    seen = {}
    for offset, factor in itertools.product((0, 1, 2, 3, 17), (1, 5, 100)):
        monkeypatch.setenv("LRLIB_SEED", str(offset))
        monkeypatch.setenv("LRLIB_SCALE", str(factor))
        for purpose in ("judge", "tune", "other"):
            drawn = seeds(100, purpose)
            assert len(set(drawn)) == len(drawn) == 100 * factor
            for seed in drawn:
                assert seen.setdefault(seed, (offset, purpose)) == (offset, purpose)


def test_scale_multiplies_seeds_and_steps_and_keeps_the_first_seeds(monkeypatch):
    few = seeds(3)
    monkeypatch.setenv("LRLIB_SCALE", "4")
    assert (scale(), len(seeds(3)), steps(50), seeds(3)[:3]) == (4, 12, 200, few)


def test_device_comes_from_the_argument_then_the_environment(monkeypatch):
    assert device("cpu") == torch.device("cpu")
    monkeypatch.setenv("LRLIB_DEVICE", "cpu")
    assert device() == torch.device("cpu")
    monkeypatch.setenv("LRLIB_DEVICE", "abacus")
    assert device("cpu") == torch.device("cpu")
    with pytest.raises(ValueError, match=r"'abacus' is not on this machine; .*one of .*cpu"):
        device()


@pytest.mark.parametrize("name", ["cuda:99", "meta", "xpu", "", "nowhere:1"])
def test_a_device_that_is_not_there(name, monkeypatch):
    if name == "":
        monkeypatch.setenv("LRLIB_DEVICE", "")  # the same as unset
        assert device().type in ("cpu", "cuda", "mps")
        return
    with pytest.raises(ValueError, match="is not on this machine; set LRLIB_DEVICE to one of"):
        device(name)
