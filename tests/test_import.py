"""``import lrlib`` loads no torch, and the schedules work where there is none."""

import ast
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import lrlib


def run(code: str, *options: str) -> str:
    command = [sys.executable, *options, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# What works with numpy alone. test_packaging runs it too, on the wheel.
WITHOUT_TORCH = """
    import json, pickle

    import lrlib

    shapes = [
        lrlib.Warmup(10).then(lrlib.CosineAnnealing(90)) * lrlib.MultiStepDecay(range(30, 90, 30)),
        lrlib.WSD(100, 0.1, 0.2).cooldown(at=50, steps=10),
        lrlib.WarmRestarts(10).then(lrlib.Constant(0.1), at=40),
        lrlib.OneCycle(100).momentum(),
        lrlib.from_name("cosine", 100, warmup=10),
    ]
    for shape in shapes:
        assert shape.sample(120).shape == (120,)
        assert lrlib.from_dict(json.loads(json.dumps(shape.to_dict()))) == shape
        assert pickle.loads(pickle.dumps(shape)) == shape
    assert lrlib.stability_limit(2.0) == 1 and lrlib.noise_floor(0.2, 1.0, 1.0) > 0
    assert lrlib.__version__

    # Programs that look at what there is find it, and no more.
    import inspect, pydoc
    everything = {}
    exec("from lrlib import *", everything)
    assert "Warmup" in everything and "ScheduledLR" not in everything
    members = dict(inspect.getmembers(lrlib))
    assert "Warmup" in members and not {"ScheduledLR", "scheduler"} & members.keys()
    assert "class Warmup(" in pydoc.plain(pydoc.render_doc(lrlib))
    assert not hasattr(lrlib, "ScheduledLR") and hasattr(lrlib, "Warmup")

    # The code of a reader hears why: an AttributeError, or an ImportError from an import.
    def says(name, kind, run):
        try:
            run()
        except kind as error:
            assert f"lrlib.{name} needs torch, which is not installed (pip" in str(error), error
        else:
            raise AssertionError(name)

    for name in ("ScheduledLR", "LRTrace", "find_lr", "GradientNoiseScale", "scheduler"):
        says(name, AttributeError, lambda: getattr(lrlib, name))
        says(name, ImportError, lambda: exec(f"from lrlib import Warmup, {name}"))
    name = "largest_hessian_eigenvalue"
    says(name, ImportError, lambda: lrlib.largest_hessian_eigenvalue(lambda: 1, [1]))
"""


def test_import_loads_neither_torch_nor_matplotlib():
    loaded = run("""
        import sys
        import lrlib
        lrlib.from_dict(lrlib.WSD(100).to_dict()).sample(100)
        lrlib.stability_limit(1.0)
        dir(lrlib)
        print([name for name in ("torch", "matplotlib", "scipy") if name in sys.modules])
    """)
    assert loaded == "[]"


@pytest.mark.parametrize(
    "block",
    [
        "import sys; sys.modules['torch'] = None",
        """
    import sys
    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "torch":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.meta_path.insert(0, Blocked())
    """,
    ],
)
def test_the_schedules_work_where_torch_is_not(block):
    program = textwrap.dedent(block) + textwrap.dedent(WITHOUT_TORCH)
    program += textwrap.dedent("""
        import matplotlib
        matplotlib.use("Agg")
        assert len(shapes[0].plot().lines) == 1
    """)
    run(program)


def test_plot_says_what_it_needs_where_matplotlib_is_not():
    out = run("""
        import sys
        sys.modules["matplotlib"] = None
        import lrlib
        try:
            lrlib.Warmup(10).plot()
        except ImportError as error:
            print(error)
    """)
    assert out.startswith("Warmup: plot needs matplotlib, which is not installed")


def test_every_public_name_is_there_and_comes_once():
    out = run("""
        import sys
        import lrlib
        lazy = [name for name in lrlib.__all__ if name not in vars(lrlib)]
        assert set(lrlib.__all__) <= set(dir(lrlib))
        first = {name: getattr(lrlib, name) for name in lrlib.__all__}
        assert "torch" in sys.modules
        assert all(vars(lrlib)[name] is first[name] for name in lrlib.__all__)
        from lrlib import *
        assert all(globals()[name] is first[name] for name in lrlib.__all__)
        assert lrlib.scheduler.ScheduledLR is ScheduledLR is lrlib.ScheduledLR
        print(lazy)
    """)
    assert "ScheduledLR" in out and "Warmup" not in out
    assert len(lrlib.__all__) == len(set(lrlib.__all__))


@pytest.mark.parametrize(
    "module", ["scheduler", "trace", "lr_finder", "restoring", "batch_size_scaling"]
)
def test_modules_are_attributes_without_an_import_of_their_own(module):
    assert run(f"import lrlib; print(lrlib.{module}.__name__)") == f"lrlib.{module}"


def test_a_type_checker_sees_the_names_that_are_loaded_when_first_used():
    tree = ast.parse(Path(lrlib.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        node.module.removeprefix("lrlib."): tuple(name.name for name in node.names)
        for node in block
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == {module: names for module, names in lrlib._NEED_TORCH.items() if names}


def test_what_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'lrlib' has no attribute 'Cosine'"):
        lrlib.Cosine  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Cosine' from 'lrlib'"):
        exec("from lrlib import Cosine")


def test_a_fault_inside_a_module_is_not_taken_for_a_missing_torch():
    out = run("""
        import sys
        sys.modules["lrlib.trace"] = None
        import lrlib
        try:
            lrlib.LRTrace
        except ModuleNotFoundError as error:
            print(error)
    """)
    assert "lrlib.trace" in out and "needs torch" not in out


def test_the_constant_is_found_where_it_was_defined_before():
    from lrlib import constant, fixed_learning_rate

    assert fixed_learning_rate.Constant is constant.Constant is lrlib.Constant
    # As pickled by the first release.
    old = b"clrlib.fixed_learning_rate\nConstant\n."
    assert pickle.loads(old) is lrlib.Constant


def test_the_functions_that_need_torch_still_work():
    theta = torch.ones(2, requires_grad=True)
    value, _ = lrlib.largest_hessian_eigenvalue(lambda: theta.square().sum(), [theta])
    assert value == pytest.approx(2)
    net = torch.nn.Linear(1, 2)
    assert lrlib.ensemble_probabilities([net], torch.ones(3, 1)).shape == (3, 2)
