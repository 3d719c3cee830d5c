"""Checker of chapter 15: what matters, a variance split among its factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lrlib.exercises import exercise, parts, to_number
from lrlib.exercises.choosing_given import valleys

_OTHERS = ((1, 2), (0, 2), (0, 1))


def _split(
    part: Callable[[np.ndarray, int], Any],
    total: Callable[[np.ndarray], Any] = np.var,
    rest: Callable[[float, list[float]], float] = lambda total, found: total - sum(found),
):
    """The parts of the three factors and what is left, over the total."""

    def shares(table: np.ndarray) -> tuple[float, ...]:
        whole, found = float(total(table)), [float(part(table, axis)) for axis in range(3)]
        return tuple(x / whole for x in (*found, rest(whole, found)))

    return shares


def _effect(table: np.ndarray, axis: int) -> Any:
    return table.mean(_OTHERS[axis]).var()


def _not_divided(table):
    found = [_effect(table, axis) for axis in range(3)]
    return (*found, table.var() - sum(found))


def _of_the_three(table):
    found = np.array([_effect(table, axis) for axis in range(3)])
    return (*(found / found.sum()), 0.0)


check_shares = exercise(
    "Exercise 3: ``shares(table)``, how much of the variance each factor explains.",
    right=_split(_effect),
    names=("_table",),
    cases=(
        (valleys(21, 3, 4, 5),),
        (valleys(22, 5, 3, 4),),
        (valleys(23, 4, 6, 2),),
    ),
    read=parts(peak=to_number, shape=to_number, seed=to_number, rest=to_number),
    wrong=(
        (
            "those are standard deviations. Only variances add up.",
            _split(lambda table, axis: table.mean(_OTHERS[axis]).std(), np.std),
            _split(lambda table, axis: table.mean(_OTHERS[axis]).std()),
        ),
        ("those are variances. Divide by that of the whole table.", _not_divided),
        (
            "the mean was taken over one axis, the factor's own. For the peak's share take the "
            "mean over shapes and seeds, so that one number is left for every peak.",
            _split(lambda table, axis: table.mean(axis).var()),
        ),
        (
            "the three add up to 1, and the rest is nothing. What no single factor explains (the "
            "best peak depends on the shape, runs on luck) belongs to the total, too.",
            _of_the_three,
        ),
        (
            "that is the variance along the factor, averaged, and it has the other factors' "
            "interplay and the noise in it. Average over the others first, then take the variance.",
            _split(lambda table, axis: table.var(axis).mean()),
            _split(lambda table, axis: table.std(axis).mean(), np.std),
        ),
        (
            "that is the mean variance within a level of the factor: what it does not explain.",
            _split(lambda table, axis: table.var(_OTHERS[axis]).mean()),
        ),
        (
            "those are sample variances (ddof=1), which divide by one less. The shares no longer "
            "add up.",
            _split(
                lambda table, axis: table.mean(_OTHERS[axis]).var(ddof=1),
                lambda table: table.var(ddof=1),
            ),
            _split(lambda table, axis: table.mean(_OTHERS[axis]).var(ddof=1)),
        ),
        (
            "medians are taken over the other factors. Take means: of those the variances add up.",
            _split(lambda table, axis: np.median(table, axis=_OTHERS[axis]).var()),
        ),
        (
            "one slice of the table is looked at, the first level of the other factors. Take the "
            "mean over all of theirs.",
            _split(lambda table, axis: np.moveaxis(table, axis, 0)[:, 0, 0].var()),
        ),
        (
            "those are ranges, the highest less the lowest. Only variances add up.",
            _split(lambda table, axis: np.ptp(table.mean(_OTHERS[axis])), np.ptp),
        ),
        (
            "the sums of squares are of means in one place and of single runs in the other: each "
            "mean stands for many runs. Take variances, or count every mean as often.",
            _split(
                lambda table, axis: ((table.mean(_OTHERS[axis]) - table.mean()) ** 2).sum(),
                lambda table: ((table - table.mean()) ** 2).sum(),
            ),
        ),
        (
            "the rest is all of it. Take away what the three explain.",
            _split(_effect, rest=lambda total, found: total),
        ),
        (
            "the rest is what the three explain. It is what they leave.",
            _split(_effect, rest=lambda total, found: sum(found)),
        ),
        (
            "the means are taken over the wrong axes: axis 0 is the peak, 1 the shape, 2 the seed.",
            _split(lambda table, axis: _effect(table, 2 - axis)),
            _split(lambda table, axis: _effect(table, (axis + 1) % 3)),
            _split(lambda table, axis: _effect(table, (axis + 2) % 3)),
        ),
    ),
    differs={
        name: f"the share of the {name} is {{given}}, and {{wanted}} is right."
        for name in ("peak", "shape", "seed")
    }
    | {"rest": "what is left is {given}, and {wanted} is right."},
    passed="three factors, and what none of them explains alone.",
)
