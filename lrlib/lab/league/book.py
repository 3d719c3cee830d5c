"""The tasks of the book's league. To add one, write a function that makes it, and list it below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lrlib.lab import control
from lrlib.lab.control import PPO
from lrlib.lab.league.control import Control
from lrlib.lab.league.made import FineTuned, language
from lrlib.lab.league.network import Network
from lrlib.lab.league.tasks import LeagueTask
from lrlib.lab.models import MARGINS, digits_task, images_task, mnist1d_task, text_task
from lrlib.lab.vit import vit_task


def _points(data: str) -> dict[str, Any]:
    """Errors in points: the book's margin of these data, and what a guess among ten classes has."""
    margin = MARGINS[data].points
    assert margin is not None
    return {"margin": margin, "worst": 90.0}


def _nats(data: str, worst: float) -> dict[str, Any]:
    margin = MARGINS[data].nats
    assert margin is not None
    return {"margin": margin, "worst": worst}


def mnist1d_short() -> LeagueTask:
    return Network(
        name="MNIST-1D, short",
        about="MLP 40-100-100-10, 2.4 epochs of MNIST-1D, SGD",
        **_points("mnist1d"),
        make=mnist1d_task,
        steps=600,
        batch_size=16,
        middle=0.1,
        seeds=10,
        seconds=0.4,
        data_files=("mnist1d.npz",),
    )


def mnist1d_long() -> LeagueTask:
    return Network(
        name="MNIST-1D, long",
        about="MLP 40-100-100-10, 12 epochs of MNIST-1D, SGD",
        **_points("mnist1d"),
        make=mnist1d_task,
        steps=3000,
        batch_size=16,
        middle=0.1,
        seeds=8,
        seconds=1.7,
        data_files=("mnist1d.npz",),
    )


def mnist1d_adam() -> LeagueTask:
    return Network(
        name="MNIST-1D, AdamW",
        about="MLP 40-100-100-10, 8 epochs of MNIST-1D, AdamW",
        **_points("mnist1d"),
        make=mnist1d_task,
        steps=1000,
        batch_size=32,
        optimizer="adamw",
        middle=0.011,
        seeds=8,
        seconds=1.1,
        data_files=("mnist1d.npz",),
    )


def digits_clean() -> LeagueTask:
    return Network(
        name="digits",
        about="MLP 64-64-10, 13 epochs of 1,000 digits of 8×8 pixels, SGD",
        **_points("digits"),
        make=digits_task,
        steps=800,
        batch_size=16,
        middle=0.14,
        seeds=10,
        regime="fitted",
        seconds=0.3,
        data_files=("digits.npz",),
    )


def images_clean() -> LeagueTask:
    return Network(
        name="images",
        about="MLP 196-64-10, 21 epochs of 3,000 digits of MNIST, SGD",
        **_points("images"),
        make=images_task,
        settings={"hidden": [64]},
        steps=1000,
        batch_size=64,
        middle=0.34,
        seeds=10,
        regime="fitted",
        seconds=0.8,
        data_files=("mnist5k.npz",),
    )


def images_noisy() -> LeagueTask:
    return Network(
        name="images, wrong labels",
        about="the same with a fifth of the training labels wrong",
        **_points("images"),
        make=images_task,
        settings={"hidden": [64], "label_noise": 0.2},
        steps=1000,
        batch_size=64,
        middle=0.07,
        seeds=10,
        seconds=0.8,
        data_files=("mnist5k.npz",),
    )


def images_shifted() -> LeagueTask:
    return Network(
        name="images, shifted",
        about="MLP 196-32-10, every image in nine places, SGD",
        **_points("images"),
        make=images_task,
        settings={"hidden": [32], "shifts": True},
        steps=1000,
        batch_size=64,
        middle=0.2,
        seeds=10,
        seconds=0.6,
        data_files=("mnist5k.npz",),
    )


def images_convolved() -> LeagueTask:
    return Network(
        name="convnet",
        about="two convolutions, 4 epochs of 3,000 digits of MNIST, SGD",
        **_points("images"),
        make=images_task,
        settings={"channels": 8},
        steps=400,
        batch_size=32,
        middle=0.1,
        seeds=6,
        seconds=4.2,
        data_files=("mnist5k.npz",),
    )


def text() -> LeagueTask:
    return Network(
        name="text",
        about="transformer of width 32, Python's documentation by character, AdamW",
        metric="test loss",
        unit="nats",
        **_nats("text", 4.6),
        make=text_task,
        settings={"context": 32, "depth": 2, "width": 32, "heads": 2},
        steps=250,
        warmup=15,
        batch_size=16,
        optimizer="adamw",
        middle=0.022,
        shifts={"step": 0, "exponential": 0},
        seeds=6,
        seconds=8.5,
        data_files=("pydocs.npz",),
    )


def language_deep() -> LeagueTask:
    return Network(
        name="language, deep",
        about="two blocks of width 16, 8 tokens that depend on two before, AdamW",
        metric="test loss",
        unit="nats",
        **_nats("language", 2.1),
        make=language,
        settings={"vocabulary": 8, "concentration": [8.0, 1.0], "depth": 2, "context": 8},
        steps=400,
        warmup=20,
        batch_size=16,
        optimizer="adamw",
        middle=0.026,
        seeds=4,
        seconds=4.0,
        code=("lab/language.py",),
    )


def language_hard() -> LeagueTask:
    return Network(
        name="language, hard",
        about="one block of width 16, 30 tokens that depend on two before, AdamW",
        metric="test loss",
        unit="nats",
        **_nats("language", 3.4),
        make=language,
        settings={"vocabulary": 30, "concentration": [8.0, 0.5], "depth": 1, "context": 4},
        steps=500,
        warmup=25,
        batch_size=16,
        optimizer="adamw",
        middle=0.04,
        seeds=8,
        seconds=1.4,
        code=("lab/language.py",),
    )


def fine_tuned() -> LeagueTask:
    return FineTuned(
        name="fine-tuning",
        about="MLP 40-100-100-10 trained on MNIST-1D, 200 examples with other class numbers, SGD",
        **_points("mnist1d"),
        make=mnist1d_task,
        steps=400,
        batch_size=16,
        middle=0.03,
        seeds=8,
        regime="fitted",
        seconds=0.5,
        data_files=("mnist1d.npz",),
        code=("lab/fine_tuning.py",),
    )


def vision_transformer() -> LeagueTask:
    return Network(
        name="vision transformer",
        about="two blocks of width 32, 5 epochs of 3,000 digits of MNIST, AdamW",
        **_points("images"),
        make=vit_task,
        steps=500,
        warmup=28,
        batch_size=32,
        optimizer="adamw",
        together=False,
        middle=0.008,
        shifts={"step": 0, "exponential": 0, "inverse root": 1},
        seeds=4,
        seconds=20.0,
        data_files=("mnist5k.npz",),
    )


def pole() -> LeagueTask:
    return Control(
        name="pole",
        about="PPO balances a pole for 12,800 steps (CartPole-v1), Adam",
        metric="shortfall",
        unit="steps",
        margin=control.MARGIN,
        worst=control.LONGEST - 22.0,  # a random policy keeps the pole up for 22 steps
        steps=PPO().updates,
        middle=0.0112,
        shifts={"step": 0, "exponential": 0, "inverse root": 1},
        seconds=16.0,
        code=("lab/control.py",),
    )


_MAKERS: tuple[Callable[[], LeagueTask], ...] = (
    *(mnist1d_short, mnist1d_long, mnist1d_adam, digits_clean),
    *(images_clean, images_noisy, images_shifted, images_convolved),
    *(vision_transformer, text, language_deep, language_hard, fine_tuned, pole),
)
TASKS = {task.name: task for task in (make() for make in _MAKERS)}
