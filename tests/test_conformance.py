"""Chapter 12's table of one schedule in several libraries: made here of what is installed."""

from pathlib import Path

import notebooks
import numpy as np
import pytest
import torch

from lrlib import lab
from lrlib.lab import conformance

CHAPTER = Path(__file__).parent.parent / "chapters" / "12_composing.ipynb"
N = 151


def run_transformers():
    optimization = pytest.importorskip("transformers.optimization")
    return lab.applied(
        lambda opt: optimization.get_cosine_schedule_with_warmup(opt, 10, 100), N, lr=1.0
    ).lr[:, 0]


def run_timm(**settings):
    """As timm's training script does: the loop owns the counter."""
    scheduler = pytest.importorskip("timm.scheduler")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    plan = scheduler.CosineLRScheduler(optimizer, warmup_t=10, t_in_epochs=False, **settings)
    rates = []
    for updates in range(1, N + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step_update(num_updates=updates)
    return np.array(rates)


def run_optax():
    plan = pytest.importorskip("optax").warmup_cosine_decay_schedule(0.0, 1.0, 10, 100)
    return np.array([float(plan(t)) for t in range(N)])


RUNS = {
    "transformers: cosine": run_transformers,
    "timm: warmup_t=10": lambda: run_timm(t_initial=100),
    "timm: the same, warmup_prefix": lambda: run_timm(t_initial=90, warmup_prefix=True),
    "optax: warmup_cosine_decay": run_optax,
}


@pytest.mark.parametrize("library", RUNS)
def test_the_formula_is_what_the_library_does(library):
    assert np.allclose(conformance.factors(library, N), RUNS[library](), rtol=0, atol=1e-6)


def test_the_chapter_prints_the_table_of_what_is_installed():
    made = {}
    for library, run in RUNS.items():
        try:
            made[library] = run()
        except pytest.skip.Exception:
            continue
    (cell,) = (
        cell
        for cell in notebooks.read_notebook(CHAPTER).cells
        if cell.cell_type == "code" and "conformance.table()" in cell.source
    )
    printed = "".join(out.get("text", "") for out in cell.outputs)
    assert conformance.table(made) in printed


def test_what_the_table_shows():
    rows = {name: conformance.factors(name, N) for name in conformance.LIBRARIES}
    torchs, waste, none = (rows[name] for name in list(rows)[:1] + list(rows)[-2:])
    zero_first = {name for name, row in rows.items() if row[0] == 0}
    assert zero_first == set(rows) - {next(iter(rows)), "lrlib: Warmup(10, 1/11)"}
    assert torchs[0] == 0.1 and none[0] == pytest.approx(1 / 11)
    below = {name for name, row in rows.items() if row[:100].max() < 0.99}
    assert below == {"timm: warmup_t=10"}  # never at its peak
    climbs = {name for name, row in rows.items() if row[150] > 0.4}
    assert climbs == {"torch: LinearLR, CosineAnnealingLR", "transformers: cosine"}
    assert all(0 < row[99] < 4e-4 and row[100] < 1e-15 for row in rows.values())
    assert waste[150] == none[150] == 0


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"factors: library must be one of .* got 'jax'"):
        conformance.factors("jax", 3)
    with pytest.raises(ValueError, match="factors: updates must be at least 1, got 0"):
        conformance.factors("optax: warmup_cosine_decay", 0)
