"""Checkpoints: a run goes on bit for bit, and no crash leaves a broken file."""

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lrlib import (
    CosineAnnealing,
    ScheduledLR,
    ShuffledBatches,
    Warmup,
    load_checkpoint,
    resume,
    save_checkpoint,
)

STEPS, AT = 40, 17


def parts(seed=0):
    """Everything that a run needs, as at its start."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    shape = Warmup(5).then(CosineAnnealing(35))
    return {
        "model": model,
        "optimizer": optimizer,
        "scheduler": ScheduledLR(optimizer, shape),
        "scaler": torch.amp.GradScaler("cpu"),
        "noise": np.random.default_rng(seed),
        "draws": random.Random(seed),
        "generator": torch.Generator().manual_seed(seed),
    }


def train(run, start, stop):
    """Some updates that use every one of the parts, and every random state."""
    x = torch.linspace(-1, 1, 48).view(12, 4)
    batches = ShuffledBatches(12, 5, STEPS, seed=3, start=start)
    for step, batch in zip(range(start, stop), batches, strict=False):
        run["optimizer"].zero_grad()
        noise = run["noise"].normal() + run["draws"].random() + random.random()
        noise += np.random.rand() + torch.rand(1, generator=run["generator"]).item()  # noqa: NPY002
        loss = (run["model"](x[batch]) * noise).square().mean() * (1 + step % 2)
        run["scaler"].scale(loss).backward()
        run["scaler"].step(run["optimizer"])
        run["scaler"].update()
        run["scheduler"].step()


def weights(run):
    return torch.cat([value.flatten().double() for value in run["model"].state_dict().values()])


@pytest.fixture
def saved(tmp_path):
    """A run saved in the middle, and the weights at its end."""
    run, path = parts(), tmp_path / "run.pt"
    train(run, 0, AT)
    save_checkpoint(path, step=AT, note={"best": np.float64(0.5)}, **run)
    train(run, AT, STEPS)
    return path, weights(run)


def test_a_run_goes_on_bit_for_bit(saved):
    path, end = saved
    run = parts(seed=9)
    data = load_checkpoint(path, **run)
    assert data == {"step": AT, "note": {"best": 0.5}}
    assert type(data["note"]["best"]) is float
    train(run, data["step"], STEPS)
    assert torch.equal(weights(run), end)


@pytest.mark.parametrize("name", ["model", "optimizer", "scheduler", "noise", "draws", "generator"])
def test_every_part_is_needed(saved, name):
    """The test above could not see a part that is not put back, if the run did not use it."""
    path, end = saved
    run = parts(seed=9)
    left = {key: part for key, part in run.items() if key != name}
    load_checkpoint(path, ignore=(name,), **left)
    train(run, AT, STEPS)
    assert not torch.equal(weights(run), end)


@pytest.mark.parametrize("which", ["python", "numpy", "torch", None])
def test_every_random_state_is_needed(saved, which, monkeypatch):
    path, end = saved
    run = parts(seed=9)
    states = {"python": random.getstate(), "numpy": np.random.get_state(legacy=False)}  # noqa: NPY002
    states["torch"] = torch.get_rng_state()
    load_checkpoint(path, random_states=which is not None, **run)
    if which == "python":
        random.setstate(states["python"])
    elif which == "numpy":
        np.random.set_state(states["numpy"])  # noqa: NPY002
    elif which == "torch":
        torch.set_rng_state(states["torch"])
    train(run, AT, STEPS)
    assert not torch.equal(weights(run), end)


@pytest.mark.parametrize("make", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_generators_of_every_kind_go_on(tmp_path, make):
    rng = np.random.Generator(make(1))
    rng.normal(size=3)
    save_checkpoint(tmp_path / "a.pt", rng=rng)
    wanted = rng.normal(size=5)
    other = np.random.Generator(make(2))
    load_checkpoint(tmp_path / "a.pt", rng=other)
    assert np.array_equal(other.normal(size=5), wanted)


def test_a_scaler_that_skipped_goes_on(tmp_path):
    scaler, weight = torch.amp.GradScaler("cpu"), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler.scale(weight.sum() * torch.inf).backward()
    scaler.step(optimizer)
    scaler.update()
    save_checkpoint(tmp_path / "a.pt", scaler=scaler)
    other = torch.amp.GradScaler("cpu")
    load_checkpoint(tmp_path / "a.pt", scaler=other)
    assert other.get_scale() == 2**15 and other.state_dict() == scaler.state_dict()


def test_the_file_runs_no_code_and_keeps_layer_versions(saved):
    path, _ = saved
    content = torch.load(path, weights_only=True)
    assert content["states"]["model"]._metadata["1"] == {"version": 2}
    assert set(content["random"]) == {"python", "numpy", "torch"}


def test_parts_that_are_none_are_left_out(tmp_path):
    model = nn.Linear(2, 2)
    save_checkpoint(tmp_path / "a.pt", model=model, scaler=None, step=3)
    assert load_checkpoint(tmp_path / "a.pt", model=model, scaler=None) == {"step": 3}


def test_tied_weights_stay_small(tmp_path):
    layer = nn.Linear(300, 300, bias=False)
    save_checkpoint(tmp_path / "one.pt", model=nn.Sequential(layer))
    save_checkpoint(tmp_path / "tied.pt", model=nn.Sequential(layer, layer))
    one, tied = ((tmp_path / f"{name}.pt").stat().st_size for name in ("one", "tied"))
    assert tied < 1.1 * one


def test_the_one_before_is_kept(tmp_path):
    path = tmp_path / "run.pt"
    for step in range(4):
        save_checkpoint(path, step=step)
    assert load_checkpoint(path) == {"step": 3}
    assert load_checkpoint(f"{path}.previous") == {"step": 2}
    assert sorted(os.listdir(tmp_path)) == ["run.pt", "run.pt.previous"]


def test_or_not(tmp_path):
    for step in range(2):
        save_checkpoint(tmp_path / "run.pt", previous=False, step=step)
    assert os.listdir(tmp_path) == ["run.pt"]


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def link(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", link)
    for step in range(3):
        save_checkpoint(tmp_path / "run.pt", step=step)
    assert load_checkpoint(tmp_path / "run.pt.previous") == {"step": 1}


def test_a_link_to_the_newest_stays_a_link(tmp_path):
    (tmp_path / "latest.pt").symlink_to(tmp_path / "run7.pt")
    save_checkpoint(tmp_path / "latest.pt", step=1)
    assert (tmp_path / "latest.pt").is_symlink() and (tmp_path / "run7.pt").is_file()


@pytest.mark.parametrize("call", ["fsync", "replace", "link"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, call):
    path = tmp_path / "run.pt"
    save_checkpoint(path, step=1)
    before = path.read_bytes()

    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, step=2)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.pt"]


# Saves without end; 4 MB, so that most of its time passes inside a save. A line says where it is.
SAVES = """
    import sys, torch
    from lrlib import save_checkpoint

    model = torch.nn.Linear(1000, 1000)
    for step in range(int(sys.argv[2]), 10**9):
        model.weight.data.fill_(step)
        save_checkpoint(sys.argv[1], model=model, step=step)
        print(step, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    """SIGKILL, which no program can catch, ten times; each time the run goes on."""
    path, rng, first, unfinished = tmp_path / "run.pt", random.Random(0), 0, 0
    for _ in range(10):
        command = [sys.executable, "-c", textwrap.dedent(SAVES), str(path), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline()
            try:  # sleeping is in random shares of a save
                process.wait(rng.uniform(0, 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
            said = process.stdout.read().split()
            assert process.wait(60) == -signal.SIGKILL
        unfinished += Path(f"{path}.unfinished").exists()
        model = nn.Linear(1000, 1000)
        step = load_checkpoint(path, model=model)["step"]
        assert (model.weight == step).all()
        assert step >= int(said[-1] if said else first)
        for other in tmp_path.glob("*.previous"):
            assert load_checkpoint(other, model=model)["step"] <= step
        first = step + 1
    assert unfinished, "no kill fell into a save"


def test_what_can_go_wrong_on_loading(saved, tmp_path):
    path, _ = saved
    run = parts()
    with pytest.raises(ValueError, match=r"was saved without ema; it has the objects .*'step'"):
        load_checkpoint(path, ema=nn.Linear(1, 1), **run)
    with pytest.raises(ValueError, match=r"was saved without step"):
        load_checkpoint(path, step=nn.Linear(1, 1), **run)
    before = weights(run)
    with pytest.raises(ValueError, match=r"also holds scaler, without which .* in ignore"):
        load_checkpoint(path, **{**run, "scaler": None})
    assert torch.equal(weights(run), before)
    with pytest.raises(TypeError, match=r"model must be an object with state_dict .* got 3"):
        load_checkpoint(path, **{**run, "model": 3})
    with pytest.raises(RuntimeError) as raised:
        load_checkpoint(path, **{**run, "model": nn.Linear(1, 1)})
    assert f"this was model, from {path}" in raised.value.__notes__[0]
    with pytest.raises(FileNotFoundError, match=r"path must be a file, got .*none\.pt$"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save({"model": {}}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"written by save_checkpoint, got a file of \['model'\]"):
        load_checkpoint(tmp_path / "other.pt")


@pytest.mark.parametrize("keep", [0, 1, 100, -100])
def test_a_file_cut_short_says_so_and_names_the_one_before(saved, keep):
    path, _ = saved
    save_checkpoint(path, step=1)
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    with pytest.raises(ValueError, match=r"is damaged, cut short .*before it is .*run\.pt\.prev"):
        load_checkpoint(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"before it is .*run\.pt\.previous"):
        load_checkpoint(path)


class Codes:
    def state_dict(self):
        return {"history": [np.float32(1), np.ones(2)]}

    def load_state_dict(self, state):
        pass


def test_what_would_not_load_is_not_saved(tmp_path):
    with pytest.raises(TypeError, match=r"parts\['codes'\]\['history'\]\[1\] must be .*ndarray"):
        save_checkpoint(tmp_path / "a.pt", codes=Codes())
    with pytest.raises(TypeError, match=r"parts\['path'\] must be .* got \w+Path"):
        save_checkpoint(tmp_path / "a.pt", path=tmp_path)
    with pytest.raises(FileNotFoundError):
        save_checkpoint(tmp_path / "no" / "a.pt", step=1)
    assert os.listdir(tmp_path) == []


def test_numpy_rates_in_the_state_of_torchs_scheduler_load(tmp_path):
    """They break ``torch.load(…, weights_only=True)`` where the state is saved as it is."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=np.float64(0.01))
    save_checkpoint(tmp_path / "a.pt", scheduler=cosine)
    load_checkpoint(tmp_path / "a.pt", scheduler=cosine)
    assert cosine.eta_min == 0.01


def test_states_of_other_devices_are_left_alone(saved, monkeypatch):
    path, _ = saved
    content = torch.load(path, weights_only=True)
    content["random"]["cuda"] = [torch.get_rng_state()] * 99
    torch.save(content, path)
    with pytest.warns(UserWarning, match=r"had 99 CUDA device\(s\), here are"):
        load_checkpoint(path, **parts())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_random_states_of_a_gpu_go_on(tmp_path):
    torch.rand(1, device="cuda")
    save_checkpoint(tmp_path / "a.pt")
    wanted = torch.rand(3, device="cuda")
    load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(torch.rand(3, device="cuda"), wanted)


# --- ShuffledBatches


@pytest.mark.parametrize("drop_last", [True, False])
def test_batches_are_those_of_the_whole_run(drop_last):
    whole = list(ShuffledBatches(10, 3, 11, seed=5, drop_last=drop_last))
    assert len(whole) == 11
    for start in range(12):
        rest = ShuffledBatches(10, 3, 11, seed=5, start=start, drop_last=drop_last)
        assert list(rest) == whole[start:] and len(rest) == 11 - start
    assert list(ShuffledBatches(10, 3, 30, seed=5, drop_last=drop_last))[:11] == whole
    epoch = whole[: 3 if drop_last else 4]
    seen = [i for batch in epoch for i in batch]
    assert len(set(seen)) == len(seen) == (9 if drop_last else 10)
    assert whole[len(epoch) : 2 * len(epoch)] != epoch


def test_the_order_is_fixed():
    assert list(ShuffledBatches(6, 2, 4, seed=1)) == [[4, 0], [2, 1], [5, 3], [1, 4]]


def test_workers_fetch_ahead_and_the_order_goes_on():
    data = torch.utils.data.TensorDataset(torch.arange(20))

    def seen(start, stop):
        batches = ShuffledBatches(20, 4, 12, seed=2, start=start)
        loader = torch.utils.data.DataLoader(data, batch_sampler=batches, num_workers=1)
        return [x.tolist() for (x,), _ in zip(loader, range(stop - start), strict=False)]

    assert seen(0, 7) + seen(7, 12) == seen(0, 12)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, 1, 1), ValueError, "n must be at least 1, got 0"),
        ((4, 5, 1), ValueError, "batch_size must be at most 4, got 5"),
        ((4, 2, 1.5), TypeError, "steps must be an integer, got 1.5"),
        ((4, 2, -1), ValueError, "steps must be at least 0, got -1"),
    ],
)
def test_bad_batches(arguments, error, words):
    with pytest.raises(error, match=f"ShuffledBatches: {words}"):
        ShuffledBatches(*arguments)


def test_a_start_past_the_end():
    with pytest.raises(ValueError, match="ShuffledBatches: start must be at most 3, got 4"):
        ShuffledBatches(4, 2, 3, start=4)


def test_the_format_is_named():
    assert resume._FORMAT == "lrlib checkpoint 1"
