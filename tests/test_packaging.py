"""What is installed: the three lists of packages agree, and the wheel works on its own."""

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import textwrap
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from test_import import WITHOUT_TORCH

import lrlib

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = [
    line
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def requirements(*extras: str) -> dict[str, Requirement]:
    """The packages that pyproject.toml asks for, without lrlib's own extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found = {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}
    return {name: requirement for name, requirement in found.items() if name != "lrlib"}


# --- the lists


@pytest.mark.parametrize("name", requirements("book", "rl", "dev", "makers"))
def test_every_requirement_is_pinned_within_its_range(name):
    pins = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in CONSTRAINTS}
    assert name in pins
    assert requirements("book", "rl", "dev", "makers")[name].specifier.contains(pins[name])


@pytest.mark.parametrize("name", requirements("book", "rl", "dev", "makers"))
def test_every_requirement_has_a_lower_bound(name):
    assert ">=" in str(requirements("book", "rl", "dev", "makers")[name].specifier)


def test_constraints_are_exact_pins_and_nothing_else():
    # No host, URL or path, and no local version such as +cpu.
    pin = re.compile(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*")
    assert [line for line in CONSTRAINTS if not pin.fullmatch(line)] == []
    names = [canonicalize_name(line.split("==")[0]) for line in CONSTRAINTS]
    assert len(names) == len(set(names))
    assert "torch==2.13.0" in CONSTRAINTS
    # The frameworks that the tests drive need none of these, which ask for one build of torch.
    assert {"torchvision", "torchaudio", "triton"}.isdisjoint(names)
    assert [name for name in names if name.startswith("nvidia")] == []


def test_the_pins_install_on_the_oldest_python_we_support():
    """Some packages ask for a patch release: a pin made on 3.11.7 may not install on 3.11.2."""
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    pinned = {canonicalize_name(line.split("==")[0]) for line in CONSTRAINTS}
    refusing = {
        # Not []: once Dask has loaded importlib_metadata, that raises for a missing one.
        installed.name: installed.metadata.get("Requires-Python")
        for installed in importlib.metadata.distributions()
        if canonicalize_name(installed.name) in pinned
        and not SpecifierSet(installed.metadata.get("Requires-Python") or "").contains(oldest)
    }
    assert refusing == {}


def test_the_conda_environment_has_the_same_packages_and_ranges():
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = {Requirement(line).name: Requirement(line).specifier for line in lines[:-1]}
    assert lines[-1] == {"pip": ["-e ."]}
    assert conda.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert conda.pop("pip") == SpecifierSet()
    ours = requirements("book", "rl")
    assert conda == {CONDA_NAMES.get(name, name): ours[name].specifier for name in ours}


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert lrlib.__version__ == PROJECT["version"] == citation["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## (.*)$", changes)[0] == PROJECT["version"]


# --- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution: so both are complete."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_library_and_its_data_and_nothing_else(wheel):
    source = (path for path in (ROOT / "lrlib").rglob("*") if path.is_file())
    expected = {
        path.relative_to(ROOT).as_posix() for path in source if "__pycache__" not in path.parts
    }
    assert {"lrlib/__init__.py", "lrlib/py.typed", "lrlib/lab/book.mplstyle"} <= expected
    data = [*(ROOT / "data").glob("*.npz")]
    data += [ROOT / "data" / name for name in ("SHA256SUMS", "folklore.json")]
    assert len(data) > 1
    recorded = [path for end in ("npz", "json") for path in ROOT.glob(f"data/recorded/*.{end}")]
    assert len(recorded) > 1
    expected |= {f"lrlib/_data/{path.name}" for path in data}
    expected |= {f"lrlib/_data/recorded/{path.name}" for path in recorded}

    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_wheel_alone_imports_loads_its_data_and_draws(wheel, tmp_path):
    """In a process that sees only the wheel and what a plain `pip install lrlib` brings."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "wheel")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = [str(tmp_path / "wheel"), *{sysconfig.get_path(key) for key in ("purelib", "platlib")}]
    optional = [
        "scipy",
        "sklearn",
        "mnist1d",
        "mlxtend",
        "gymnasium",
        "IPython",
        "ipykernel",
        "jupyter_client",
        "nbformat",
    ]
    program = f"""
        import sys
        # With -S the repository's editable install, which lies in site-packages, has no effect.
        sys.path[:0] = {path!r}
        sys.modules.update(dict.fromkeys({optional!r}))  # as if they were not installed

        import matplotlib
        matplotlib.use("Agg")

        import lrlib
        from lrlib import lab

        assert lrlib.__file__.startswith({str(tmp_path)!r}), lrlib.__file__
        assert lrlib.__version__ == {PROJECT["version"]!r}
        for load in (lab.load_mnist1d, lab.load_digits, lab.load_images, lab.load_text):
            load().draw(1)
        assert lab.recorded("mlp_clean").best_peaks()
        lrlib.Constant().plot(100)
        matplotlib.pyplot.savefig("constant.png")
    """
    command = [sys.executable, "-I", "-S", "-W", "error:::lrlib", "-c", textwrap.dedent(program)]
    result = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (elsewhere / "constant.png").stat().st_size > 1000


def test_the_schedules_of_the_wheel_work_with_numpy_alone(wheel, tmp_path):
    """In an environment of its own, whose only packages are the wheel and numpy."""
    import numpy

    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (python,) = (
        path for end in ("bin/python", "Scripts/python.exe") for path in environment.glob(end)
    )
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*install, "--disable-pip-version-check", "--quiet", wheel], check=True)
    program = "import sysconfig; print(sysconfig.get_path('platlib'))"
    packages = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    for path in Path(numpy.__file__).parents[1].glob("numpy*"):  # with its own libraries
        (Path(packages.stdout.strip()) / path.name).symlink_to(path)

    program = textwrap.dedent(WITHOUT_TORCH) + textwrap.dedent(f"""
        from importlib.metadata import distributions
        from pathlib import Path
        assert Path(lrlib.__file__).is_relative_to({str(environment)!r}), lrlib.__file__
        assert {{it.name for it in distributions()}} == {{"lrlib", "numpy"}}
        try:
            shapes[0].plot()
        except ImportError as error:
            assert "plot needs matplotlib" in str(error), error
        else:
            raise AssertionError("drawn without matplotlib")
    """)
    command = [python, "-I", "-W", "error", "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
