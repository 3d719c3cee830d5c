"""to_dict and from_dict: every schedule through JSON and back, and what is refused."""

import enum
import json
import math
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
import pytest
from conftest import SHAPES, HalfCosine, Ramp, Sawtooth, schedules
from hypothesis import given

import lrlib
from lrlib import (
    WSD,
    Constant,
    CosineAnnealing,
    Schedule,
    Then,
    Warmup,
    from_dict,
    from_name,
    register_schedule,
    serialization,
)

for shape in (Ramp, HalfCosine, Sawtooth):
    register_schedule(shape)


@dataclass(frozen=True)
class Anything(Schedule):
    """Holds whatever it is given."""

    value: Any
    kind: str = "x"  # names that a format might want for itself
    name: str = "y"

    def formula(self, step):
        return 1.0


register_schedule(Anything)


def through_json(shape):
    return from_dict(json.loads(json.dumps(shape.to_dict(), allow_nan=False)))


def assert_round_trip(shape):
    twin = through_json(shape)
    assert twin == shape and hash(twin) == hash(shape) and repr(twin) == repr(shape)
    assert twin.to_dict() == shape.to_dict()


@given(schedules(12))
def test_arbitrarily_nested_schedules_come_back_from_json(shape):
    assert_round_trip(shape)


@pytest.mark.parametrize("name", SHAPES)
def test_every_kind_comes_back(name):
    assert_round_trip(SHAPES[name])


def test_new_shapes_and_empty_ones_come_back():
    for shape in (
        WSD(100, 0.1, 0.2, "linear", 0.1),
        WSD(100).cooldown(at=30, steps=20) * Warmup(0),
        Warmup(5).then(CosineAnnealing(0), at=3),
        from_name("cosine", 100, num_cycles=2),
        from_name("cosine_with_restarts", 100, num_cycles=3),
        from_name("inverse_sqrt", 100, warmup=10),
    ):
        assert_round_trip(shape)


def test_every_public_shape_has_its_name():
    public = {name: getattr(lrlib, name) for name in lrlib.__all__}
    shapes = {name for name, it in public.items() if isinstance(it, type)}
    shapes = {name for name in shapes if issubclass(public[name], Schedule)}
    shapes -= {"Schedule", "FromFunction"}  # JSON has no functions
    assert shapes == set(serialization._BUILT_IN) and len(shapes) >= 19


def test_the_format():
    shape = Warmup(5).then(Constant(0.5)) * CosineAnnealing(9)
    assert shape.to_dict() == {
        "class": "Product",
        "schedules": [
            {
                "class": "Then",
                "schedules": [
                    {"class": "Warmup", "total_iters": 5, "start_factor": 0.0, "mode": "linear"},
                    {"class": "Constant", "factor": 0.5, "total_iters": None},
                ],
                "milestones": [5],
            },
            {"class": "CosineAnnealing", "T_max": 9, "min_factor": 0.0},
        ],
    }
    assert WSD(10, 0.1, 2).to_dict() == {
        **{"class": "WSD", "total_steps": 10, "warmup": 1, "cooldown": 2},
        **{"form": "1-sqrt", "min_factor": 0.0},
    }
    assert from_dict({"class": "WSD", "total_steps": 10, "warmup": 0.1}) == WSD(10, 0.1)


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        *(3, 2.5, True, None, "text", (), (1, (2.0, "x")), Colour.RED, Warmup(3) * Constant()),
        *(np.int64(3), np.float64(0.1), np.float32(0.1), np.bool_(True), np.str_("s")),
        (np.int8(1), Warmup(3)),
    ],
    ids=repr,
)
def test_values_that_json_has_come_back_equal(value):
    shape = Anything(value)
    assert through_json(shape) == shape

    def plain(it):
        if isinstance(it, dict | list):
            return all(map(plain, it.values() if isinstance(it, dict) else it))
        return it is None or type(it) in (bool, int, float, str)

    assert plain(shape.to_dict())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("inf"), (math.inf,)])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(
        ValueError, match=r"to_dict: Anything: value must be finite, .* no -?(inf|nan)"
    ):
        Anything(value).to_dict()


@pytest.mark.parametrize(
    "value", [[1], {"a": 1}, {1}, 1j, b"x", np.zeros(2), object(), math.cos, Warmup], ids=repr
)
def test_what_json_has_not_is_refused(value):
    with pytest.raises(
        TypeError, match=r"to_dict: Anything: value must be a number, text, .* got "
    ):
        Anything(value).to_dict()


def test_classes_of_your_own_must_be_registered():
    @dataclass(frozen=True)
    class Mine(Schedule):
        total: int
        inner: Schedule = Constant()  # noqa: RUF009 it cannot be changed

        def formula(self, step):
            return 1.0

    for shape in (Mine(3), Mine(3) * Constant(), Warmup(3).then(Mine(3))):
        with pytest.raises(TypeError, match=r"Mine must be registered.*lrlib.register_schedule"):
            shape.to_dict()
    assert register_schedule("team.Mine")(Mine) is Mine
    assert Mine(3).to_dict()["class"] == "team.Mine"
    assert_round_trip(Warmup(3).then(Mine(4, Warmup(2) * Constant(0.5)), at=9) * Mine(2))


def test_a_class_that_is_defined_again_replaces_itself_and_another_does_not():
    def define(step):
        @register_schedule
        @dataclass(frozen=True)
        class Again(Schedule):
            def formula(self, _):
                return step

        return Again

    define(1.0)
    second = define(2.0)
    assert from_dict({"class": "Again"}) == second()

    @dataclass(frozen=True)
    class Warmup(Schedule):
        def formula(self, step):
            return 1.0

    for name in ("Warmup", "Again", "WSD"):
        with pytest.raises(ValueError, match=f"name must be a new one, but '{name}' is <class"):
            register_schedule(name)(Warmup)


def test_what_cannot_be_registered():
    class NoDataclass(Warmup):
        pass

    @dataclass(frozen=True)
    class Extra(Schedule):
        extra: InitVar[int] = 3
        total: int = field(default=1)

        def formula(self, step):
            return 1.0

    for bad in (None, 3, int, Warmup(3), lambda step: 1.0):
        with pytest.raises(TypeError, match="what is registered must be a class of Schedule, got"):
            register_schedule(bad)
    with pytest.raises(TypeError, match="NoDataclass must be a dataclass"):
        register_schedule(NoDataclass)
    with pytest.raises(TypeError, match="constructor of Extra must take its fields and nothing"):
        register_schedule(Extra)
    with pytest.raises(ValueError, match="name must not be empty"):
        register_schedule("")


WARMUP = {"class": "Warmup", "total_iters": 5}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"class": "Warmpu", "total_iters": 5},
            r'"class" must be one of .*, Warmup, .* got .Warmpu',
        ),
        ({"class": 3}, r'"class" must be one of .* got 3'),
        ({"class": ["Warmup"]}, r'"class" must be one of'),
        ({"total_iters": 5}, r'must have a key "class", got {\'total_iters\': 5}'),
        ({}, 'must have a key "class"'),
        (
            WARMUP | {"steps": 5},
            "Warmup has the arguments total_iters, start_factor, mode; got 'st",
        ),
        (WARMUP | {3: 5}, "Warmup has the arguments .* got 3"),
        ({"class": "Warmup"}, "Warmup needs the argument total_iters, got {'class': 'Warmup'}"),
        ({"class": "Product", "schedules": [WARMUP, {"a": 1}]}, 'must have a key "class"'),
        ({"class": "Product", "schedules": [WARMUP, {"class": "x"}]}, '"class" must be one of'),
        (WARMUP | {"total_iters": -5}, "Warmup: total_iters must be at least 0, got -5"),
        ({"class": "Then", "schedules": [WARMUP], "milestones": [3]}, "Then: milestones must have"),
    ],
)
def test_what_is_malformed_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        from_dict(data)


def test_what_is_nested_without_end_is_refused():
    itself = {"class": "Product"}
    itself["schedules"] = [itself]
    deep, row = WARMUP, []
    for _ in range(100_000):
        deep, row = {"class": "Product", "schedules": [deep]}, [row]
    for data in (itself, deep, WARMUP | {"total_iters": row}):
        with pytest.raises(ValueError, match="from_dict: data must be nested less deep"):
            from_dict(data)


@pytest.mark.parametrize("data", [None, "Warmup", 3, [WARMUP], Warmup(5), '{"class": "Warmup"}'])
def test_what_is_no_mapping_is_refused(data):
    with pytest.raises(TypeError, match="from_dict: data must be a mapping as of to_dict"):
        from_dict(data)


@pytest.mark.parametrize(
    "data", [WARMUP | {"total_iters": "5"}, {"class": "Product", "schedules": 3}]
)
def test_values_of_the_wrong_kind_are_refused_by_the_class(data):
    with pytest.raises(TypeError, match=data["class"]):
        from_dict(data)


def test_the_dict_is_not_changed():
    data = Then((Warmup(2), Constant()), (2,)).to_dict()
    text = json.dumps(data)
    from_dict(data)
    assert json.dumps(data) == text
