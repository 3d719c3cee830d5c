"""Chapter 09: the learning-rate range test, which leaves no trace, and rules to read it by."""

from lrlib.lr_finder.curves import smooth
from lrlib.lr_finder.range_test import find_lr
from lrlib.lr_finder.result import LRFinderResult, NoSuggestionError, Suggestion
from lrlib.lr_finder.rules import (
    RULES,
    Rule,
    edge,
    floor,
    floor_2,
    minimum,
    minimum_10,
    steepest,
    valley,
)
from lrlib.lr_finder.training import TrainingStep, training_step
from lrlib.restoring import restored

__all__ = [
    "RULES",
    "LRFinderResult",
    "NoSuggestionError",
    "Rule",
    "Suggestion",
    "TrainingStep",
    "edge",
    "find_lr",
    "floor",
    "floor_2",
    "minimum",
    "minimum_10",
    "restored",
    "smooth",
    "steepest",
    "training_step",
    "valley",
]
