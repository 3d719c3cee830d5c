"""The gallery's helper: what was applied, by whichever optimizer, and how it ended."""

import numpy as np
import torch

from lrlib import Constant
from lrlib.lab.gallery import fault, traced


def two_optimizers(make_optimizer):
    for rate in (0.1, 0.2):
        optimizer = make_optimizer(rate, 2 * rate)
        optimizer.step()


def ends_early(make_optimizer):
    optimizer = make_optimizer(1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    raise ValueError("too late")


def test_updates_of_all_optimizers_are_recorded_in_order():
    rates, error = traced(two_optimizers)
    assert rates.tolist() == [[0.1, 0.2], [0.2, 0.4]] and error == ""


def test_an_error_ends_the_trace_and_is_kept():
    rates, error = traced(ends_early)
    assert rates[:, 0].tolist() == [1.0, 0.5] and error == "ValueError: too late"


def test_the_name_of_the_function_stands_for_the_rates_and_its_code_is_shown(capsys):
    @fault("A symptom", "an alt text", meant=[(1.0, Constant())])
    def halves(make_optimizer):
        ends_early(make_optimizer)

    assert np.array_equal(halves[:, 0], [1.0, 0.5])
    shown = capsys.readouterr().out
    assert "def halves(make_optimizer):" in shown and "@fault" not in shown
    assert "ValueError: too late" in shown
