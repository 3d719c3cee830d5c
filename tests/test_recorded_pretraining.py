"""Recordings whose shapes stand for other settings: each is trained with its own."""

from dataclasses import replace

import numpy as np
import pytest

from lrlib import PolynomialDecay
from lrlib.lab import AdamW, mnist1d_task, recordings, sweep
from lrlib.lab.ramps import BatchRamp
from lrlib.lab.recorded_pretraining import RECORDINGS, VariedRecording
from lrlib.lab.widths import width_task

TINY = VariedRecording(
    task="mnist1d",
    shapes={"plain": PolynomialDecay(6), "decayed": PolynomialDecay(6), "ramp": BatchRamp(6, 4, 8)},
    peaks=dict.fromkeys(("plain", "decayed", "ramp"), (0.01, 0.02)),
    own={"decayed": {"optimizer": {"optimizer": "adamw", "weight_decay": 5.0}}},
    seeds=1,
    steps=6,
    batch_size=4,
    optimizer={"optimizer": "adamw"},
    evaluations=1,
    data_files=("mnist1d.npz",),
    together=True,
)


def trained(shape, steps, batch_size, decay=0.0, task=None):
    result = sweep(
        task or mnist1d_task(),
        {"it": shape},
        [0.01, 0.02],
        [0],
        steps=steps,
        batch_size=batch_size,
        optimizer=AdamW(weight_decay=decay),
        progress=False,
    )
    return result.at("test_loss")[0, :, 0]


def kept(recording, shape, steps=None):
    task = recording.made_task()
    return recording.train(task, shape, 0, recording.peaks[shape], steps)


def test_a_shape_is_trained_with_its_own_settings():
    line, ramp = PolynomialDecay(6), TINY.shapes["ramp"]
    for shape, wanted in (
        ("plain", trained(line, 6, 4)),
        ("decayed", trained(line, 6, 4, decay=5.0)),
        ("ramp", trained(ramp, len(ramp.sizes), ramp.sizes)),
    ):
        assert kept(TINY, shape)["test_loss"][:, -1] == pytest.approx(wanted, rel=1e-6)
    assert len(TINY.shapes["ramp"].sizes) < 6


def test_the_first_steps_are_those_of_the_whole_run():
    for shape in TINY.shapes:
        whole, part = (kept(TINY, shape, steps)["first_losses"] for steps in (None, 3))
        assert part.shape == (2, 3) and np.array_equal(part, whole[:, :3])


def test_a_width_is_a_task_of_its_own():
    settings = {"width": 48, "maximal_update": True}
    made = replace(
        TINY, task="width", settings={"width": 32}, own={"decayed": {"settings": settings}}
    )
    wanted = trained(PolynomialDecay(6), 6, 4, task=width_task(48, True))
    assert kept(made, "decayed")["test_loss"][:, -1] == pytest.approx(wanted, rel=1e-6)
    assert kept(made, "plain")["test_loss"][:, -1] != pytest.approx(wanted, rel=1e-3)


def test_settings_of_ones_own_make_another_recording():
    about = {
        "configuration": TINY.configuration(),
        "code": recordings.code_hash(TINY),
        "data": recordings.data_hashes(TINY),
    }
    assert recordings.staleness(TINY, about) == []
    other = replace(TINY, own={"decayed": {"optimizer": {"optimizer": "adamw"}}})
    assert recordings.staleness(other, about) == ["its settings have changed"]


def test_the_recordings_of_the_book_name_what_decides_them():
    assert RECORDINGS["widths"].code == ("lab/widths.py",)
    assert RECORDINGS["batch_ramp"].code == ("lab/ramps.py",)
    grid = RECORDINGS["decay_grid"]
    decays = [grid.of(shape).optimizer["weight_decay"] for shape in grid.shapes]
    assert decays == [float(shape.split()[1]) for shape in grid.shapes] and len(set(decays)) == 7
    wide = RECORDINGS["widths"]
    for shape in wide.shapes:
        kind, width = shape.split(", width ")
        own = wide.of(shape).settings
        assert own == {"width": int(width), "maximal_update": kind == "μP"}
