"""The house: what each module of lrlib may hold and import.

``python tests/test_structure.py`` draws it. The rules, for all of `lrlib`:

1. No module has more than 450 lines, no function more than 60 from its ``def`` to its last line. A
   function's docstring does not count: it may take the room that it needs.
2. No module uses another's name that begins with an underscore. (A *module* that does belongs to
   the package it lies in, and may be used there.)
3. No module imports itself by way of others: neither when it is loaded, nor when the imports inside
   functions are counted too. Imports for the type checker alone are another matter.
4. No import goes up: `schedule` ← shapes ← scheduler, trace ← the tools ← `lab` ← `exercises`.
5. Private names of torch stand in `lrlib/_optimizers.py` alone.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "lrlib"
LINES, FUNCTION_LINES = 450, 60
# The floors, from the ground up, and the rooms on each. A new module is given its floor here.
FLOORS = (
    {"_checks", "_encoding", "_lambda_lr"},
    {"schedule"},
    {
        *("constant", "step_decay", "exponential_decay", "cosine_annealing", "warm_restarts"),
        *("cyclical", "one_cycle", "warmup", "pretraining", "choosing", "serialization"),
        *("fixed_learning_rate", "plateau", "composing", "recipes"),
    },
    {
        *("_optimizers", "_counting", "_resuming", "_writing", "_arguments", "_driving"),
        *("scheduler", "plateau_lr", "trace", "restoring", "resume"),
    },
    {"lr_finder", "batch_size_scaling"},
    {"lrlib"},  # the door: it opens on all below
    {"lab"},
    {"exercises"},
)
TORCH_IS_KNOWN_TO = "lrlib._optimizers"
# Attributes with an underscore that are documented: of ast, os, sys, and named tuples.
DOCUMENTED = {"_fields", "_exit", "_getframe", "_asdict", "_replace", "_make"}


@dataclass(frozen=True)
class Import:
    """One name that a module imports from another: ``from source import name``, or all of it."""

    source: str
    name: str | None
    line: int
    kind: str  # "loading", "in a function", or "for types"


@dataclass
class Module:
    """What a file says, by its syntax tree."""

    name: str
    path: Path
    is_package: bool
    tree: ast.Module = field(repr=False)
    lines: int = 0

    @property
    def package(self) -> str:
        """The package it lies in, or is."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def imports(self) -> list[Import]:
        found: list[Import] = []
        self._collect(self.tree, "loading", found)
        return found

    def _collect(self, node: ast.AST, kind: str, found: list[Import]) -> None:
        if isinstance(node, ast.Import):
            found += [Import(alias.name, None, node.lineno, kind) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                base = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
                source = ".".join([*base, *filter(None, [node.module])])
            found += [Import(source, alias.name, node.lineno, kind) for alias in node.names]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                self._collect(child, "for types", found)
            for child in node.orelse:
                self._collect(child, kind, found)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                self._collect(child, "in a function" if inside else kind, found)

    @cached_property
    def functions(self) -> list[tuple[str, int, int]]:
        """Name, line and length of every function, those inside others too."""
        return [
            (node.name, node.lineno, length(node))
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the last, without the docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


class House:
    """All modules under a folder whose name is that of the package."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.modules: dict[str, Module] = {}
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text, str(path))
            self.modules[name] = Module(name, path, is_package, tree, len(text.splitlines()))

    def target(self, it: Import) -> str | None:
        """The module of this house that an import loads, None if it is another's."""
        whole = f"{it.source}.{it.name}"
        if it.name is not None and whole in self.modules:
            return whole
        return it.source if it.source in self.modules else None

    def arrows(self, *kinds: str) -> dict[str, set[str]]:
        """Each module with those that it imports."""
        return {
            name: {
                target
                for it in module.imports
                if it.kind in kinds and (target := self.target(it)) not in (None, name)
            }
            for name, module in self.modules.items()
        }

    def room(self, module: str) -> str:
        """The first part of a module's name below the package; the package's own name for it."""
        return module.split(".")[1] if "." in module else module

    def floor(self, module: str) -> int | None:
        room = self.room(module)
        return next((i for i, rooms in enumerate(FLOORS) if room in rooms), None)


# --- the rules, each a list of what breaks it


def too_long(house: House) -> list[str]:
    found = [
        f"{name} has {module.lines} lines, more than {LINES}"
        for name, module in house.modules.items()
        if module.lines > LINES
    ]
    for name, module in house.modules.items():
        found += [
            f"{name}:{line}: {function} has {lines} lines, more than {FUNCTION_LINES}"
            for function, line, lines in module.functions
            if lines > FUNCTION_LINES
        ]
    return found


def is_private(name: str | None) -> bool:
    return name is not None and name.startswith("_") and not name.endswith("__")


def others_private_names(house: House) -> list[str]:
    return [
        f"{name}:{line}: {what} is private to {owner}"
        for name, module in house.modules.items()
        for line, what, owner in uses_of_private_names(house, module)
    ]


def uses_of_private_names(house: House, module: Module) -> Iterator[tuple[int, str, str]]:
    """Line, what is used, and whose it is."""
    known: dict[str, str] = {}  # the names under which the module knows others, as written
    for it in module.imports:
        target = house.target(it)
        if target is None:
            continue
        if target == it.source and it.name is not None:  # a name in a module
            if is_private(it.name) and target != module.name:
                yield it.line, f"{target}.{it.name}", target
        else:
            known[it.name or it.source] = target
        # A private module, or one in a private package, is for those in the package around it.
        parts = target.split(".")
        for i, part in enumerate(parts):
            around = ".".join(parts[:i])
            if is_private(part) and not f"{module.name}.".startswith(f"{around}."):
                yield it.line, target, around
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            target = known.get(ast.unparse(node.value))
            inner = f"{target}.{node.attr}"
            if target is not None and target != module.name and inner not in house.modules:
                yield node.lineno, inner, target


def cycles(house: House, *kinds: str) -> list[str]:
    """One of the shortest ways back to its start, for each set of modules that form cycles."""
    arrows, found, told = house.arrows(*kinds), [], set()
    ways = {start: ways_from(start, arrows) for start in arrows}
    for start in arrows:
        if start in ways[start] and start not in told:
            found.append(" → ".join([start, *ways[start][start]]))
            told |= {other for other in ways[start] if start in ways[other]}
    return found


def ways_from(start: str, arrows: dict[str, set[str]]) -> dict[str, list[str]]:
    """The shortest way to every module that can be reached by arrows."""
    ways: dict[str, list[str]] = {}
    ends: list[tuple[str, list[str]]] = [(start, [])]
    for end, way in ends:  # which grows meanwhile
        for target in sorted(arrows[end]):
            if target not in ways:
                ways[target] = [*way, target]
                ends.append((target, ways[target]))
    return ways


def upward_imports(house: House) -> list[str]:
    found = []
    for name, module in house.modules.items():
        here = house.floor(name)
        if here is None:
            found.append(f"{name} has no floor: give it one in FLOORS, in tests/test_structure.py")
            continue
        if house.room(name) == house.name:
            continue  # the door opens on all below, and is checked with them
        for it in module.imports:
            target = house.target(it)
            there = None if target is None else house.floor(target)
            if it.kind != "for types" and there is not None and there > here:
                found.append(f"{name}:{it.line}: imports {target}, which lies above it")
    return found


def names_of_torch() -> set[str]:
    """Private names of torch's classes that this package builds on, and of their instances."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step()
    things = (weight, optimizer, scheduler, torch.nn.Linear(1, 1), torch.amp.GradScaler("cpu"))
    names = {name for thing in things for name in dir(thing)}
    names |= {"_schedule_phases", "_wrapped_by_lr_sched", "_torchdynamo_disable", "_C", "_dynamo"}
    return {name for name in names if is_private(name)}


def private_names_of_torch(house: House) -> list[str]:
    """What begins with an underscore, and is neither the module's own nor another's of the house.

    What a class reads from ``self`` may come from a base class in another module of the house, and
    is torch's only if torch has such a name and no module here defines it.
    """
    theirs = names_of_torch()
    ours = set().union(*(own_names(module.tree) for module in house.modules.values()))
    found = []
    for name, module in house.modules.items():
        if name == TORCH_IS_KNOWN_TO:
            continue
        for it in module.imports:
            whole = f"{it.source}.{it.name or ''}"
            if it.source.split(".")[0] == "torch" and any(map(is_private, whole.split("."))):
                found.append(f"{name}:{it.line}: imports {whole.rstrip('.')}")
        own, from_here = own_names(module.tree), imported_from_here(house, module)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                who, what = ast.unparse(node.value), node.attr
                if what in own or what in DOCUMENTED:
                    continue
                if who in ("self", "cls", "super()") and what not in theirs - ours:
                    continue
                if f"{name.rpartition('.')[0]}.{what}" in house.modules:
                    continue
                if who.split(".")[0] not in from_here:
                    found.append(f"{name}:{node.lineno}: {who}.{what}")
        for node in named_in_words(module.tree):
            if node.value in theirs - own:
                found.append(f"{name}:{node.lineno}: {node.value!r}")
    return found


def named_in_words(tree: ast.Module) -> Iterator[ast.Constant]:
    """Texts that name an attribute or a key: ``getattr(x, "…")``, ``x.get("…")``, ``"…" in x``."""
    for node in ast.walk(tree):
        inside: list[ast.expr] = []
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.endswith((".get", ".pop")) or called in ("getattr", "hasattr", "setattr"):
                inside = node.args
        elif isinstance(node, ast.Subscript):
            inside = [node.slice]
        elif isinstance(node, ast.Compare):
            inside = [node.left]
        yield from (it for it in inside if isinstance(it, ast.Constant))


def own_names(tree: ast.Module) -> set[str]:
    """The names that a module defines: functions, classes, variables, fields, attributes."""
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if ast.unparse(node.value) in ("self", "cls"):
                own.add(node.attr)
    return own


def imported_from_here(house: House, module: Module) -> set[str]:
    """Names of the house's own modules, as this one knows them; another rule is for them."""
    return {it.name or it.source.split(".")[0] for it in module.imports if house.target(it)}


RULES = {
    "short modules and functions": too_long,
    "no private name of another module": others_private_names,
    "no cycle of loading": lambda house: cycles(house, "loading"),
    "no cycle with the imports inside functions": lambda house: cycles(
        house, "loading", "in a function"
    ),
    "no import upwards": upward_imports,
    "no private name of torch": private_names_of_torch,
}


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps(rule):
    assert RULES[rule](House(PACKAGE)) == []


# --- a fault of each kind is found


CLEAN = {
    "__init__": "from lrlib.warmup import Warmup\n",
    "_checks": "def number(x): ...\n_SECRET = 1\n",
    "_optimizers": "import torch\nx = torch._C\ndef read(o): return o._opt_called\n",
    "schedule": "from lrlib import _checks\nfrom lrlib._checks import number\n",
    "warmup": "from lrlib.schedule import number as _n\n",
    "scheduler": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from lrlib import _checks, _optimizers
        import lrlib.warmup
        if TYPE_CHECKING:
            from lrlib.lab import Sweep
        class Mine:
            _step_count = 0
            def __init__(self, other): self._own = other._own, other._step_count
    """,
    "lab/__init__": "from lrlib.lab import _progress\nfrom lrlib.lab.sweep import run\n",
    "lab/_progress": "from lrlib import Warmup\n",
    "lab/sweep": "from lrlib.lab._progress import Warmup as run\ndef late(): import lrlib.trace\n",
    "trace": "",
}


@pytest.fixture
def build(tmp_path):
    def build(**changes: str) -> House:
        for name, source in {**CLEAN, **changes}.items():
            path = tmp_path / "lrlib" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        return House(tmp_path / "lrlib")

    return build


def test_a_clean_house_is_clean(build):
    house = build()
    assert {rule: found for rule, check in RULES.items() if (found := check(house))} == {}


def lines(n: int) -> str:
    return "def f():\n" + '    """A\n    docstring."""\n' + "    x = 1\n" * (n - 1)


FAULTS = {
    "a long module": (
        {"warmup": "x = 1\n" * 451},
        "short modules and functions",
        "lrlib.warmup has 451 lines, more than 450",
    ),
    "a long function": (
        {"warmup": lines(61)},
        "short modules and functions",
        "lrlib.warmup:1: f has 61 lines, more than 60",
    ),
    "a long method": (
        {"warmup": "class A:\n" + textwrap.indent(lines(61), "    ")},
        "short modules and functions",
        "lrlib.warmup:2: f has 61 lines, more than 60",
    ),
    "a private name, imported": (
        {"warmup": "from lrlib._checks import _SECRET\n"},
        "no private name of another module",
        "lrlib.warmup:1: lrlib._checks._SECRET is private to lrlib._checks",
    ),
    "a private name, imported in a function": (
        {"warmup": "def f():\n    from .schedule import _x\n"},
        "no private name of another module",
        "lrlib.warmup:2: lrlib.schedule._x is private to lrlib.schedule",
    ),
    "a private name, as an attribute": (
        {"warmup": "from lrlib import _checks\nprint(_checks._SECRET)\n"},
        "no private name of another module",
        "lrlib.warmup:2: lrlib._checks._SECRET is private to lrlib._checks",
    ),
    "a private name, by the whole path": (
        {"warmup": "import lrlib.schedule\nprint(lrlib.schedule._x)\n"},
        "no private name of another module",
        "lrlib.warmup:2: lrlib.schedule._x is private to lrlib.schedule",
    ),
    "a private module of another package": (
        {"exercises/__init__": "from lrlib.lab._progress import Warmup\n"},
        "no private name of another module",
        "lrlib.exercises:1: lrlib.lab._progress is private to lrlib.lab",
    ),
    "a cycle of two": (
        {"schedule": "import lrlib.warmup\n"},
        "no cycle of loading",
        "lrlib.schedule → lrlib.warmup → lrlib.schedule",
    ),
    "a cycle by way of the package": (
        {"lab/_progress": "from lrlib.lab import run\n"},
        "no cycle of loading",
        "lrlib.lab → lrlib.lab._progress → lrlib.lab",
    ),
    "a cycle by way of a function": (
        {"lab/_progress": "def f():\n    from lrlib.lab.sweep import run\n"},
        "no cycle with the imports inside functions",
        "lrlib.lab._progress → lrlib.lab.sweep → lrlib.lab._progress",
    ),
    "an import upwards": (
        {"trace": "from lrlib.lab import run\n"},
        "no import upwards",
        "lrlib.trace:1: imports lrlib.lab, which lies above it",
    ),
    "an import upwards, in a function": (
        {"schedule": "def f():\n    from lrlib import scheduler\n"},
        "no import upwards",
        "lrlib.schedule:2: imports lrlib.scheduler, which lies above it",
    ),
    "an import of the door from inside": (
        {"trace": "from lrlib import Warmup\n"},
        "no import upwards",
        "lrlib.trace:1: imports lrlib, which lies above it",
    ),
    "a room on no floor": (
        {"attic": ""},
        "no import upwards",
        "lrlib.attic has no floor: give it one in FLOORS, in tests/test_structure.py",
    ),
    "a private module of torch": (
        {"trace": "from torch._C import x\n"},
        "no private name of torch",
        "lrlib.trace:1: imports torch._C.x",
    ),
    "a private name of torch": (
        {"trace": "import torch\ntorch._foreach_add\n"},
        "no private name of torch",
        "lrlib.trace:2: torch._foreach_add",
    ),
    "a private attribute of an optimizer": (
        {"trace": "def f(optimizer):\n    return optimizer._optimizer_step_pre_hooks\n"},
        "no private name of torch",
        "lrlib.trace:2: optimizer._optimizer_step_pre_hooks",
    ),
    "a private attribute of a base class of torch": (
        {"trace": "class A(nn.Module):\n    def f(self):\n        return self._buffers\n"},
        "no private name of torch",
        "lrlib.trace:3: self._buffers",
    ),
    "a private attribute in words": (
        {"trace": "def f(optimizer):\n    return getattr(optimizer, '_opt_called', 0)\n"},
        "no private name of torch",
        "lrlib.trace:2: '_opt_called'",
    ),
    "a private key in words": (
        {"trace": "def f(state):\n    return '_schedule_phases' in state\n"},
        "no private name of torch",
        "lrlib.trace:2: '_schedule_phases'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(build, fault):
    changes, rule, message = FAULTS[fault]
    assert RULES[rule](build(**changes)) == [message]


def test_what_counts_as_length(build):
    """Up to the limit all is well, and a docstring is free; an import for types is no arrow."""
    long = lines(60).replace("docstring.", "docstring.\n" * 30)
    house = build(warmup=long, trace="x = 1\n" * 450)
    assert too_long(house) == []
    assert "lrlib.lab" not in house.arrows("loading", "in a function")["lrlib.scheduler"]
    assert "lrlib.lab" in house.arrows("for types")["lrlib.scheduler"]
    assert house.arrows("in a function")["lrlib.lab.sweep"] == {"lrlib.trace"}


# --- the picture


def picture(house: House) -> str:
    """Floors from the top, rooms with their lines and arrows to others, and the longest of all."""
    arrows = house.arrows("loading", "in a function")
    out = []
    for rooms in reversed(FLOORS):
        for room in sorted(rooms):
            modules = [name for name in house.modules if house.room(name) == room]
            size = sum(house.modules[name].lines for name in modules)
            targets = {house.room(target) for name in modules for target in arrows[name]} - {room}
            count = f" in {len(modules)} modules" if len(modules) > 1 else ""
            out.append(f"{room} ({size} lines{count}) → {', '.join(sorted(targets)) or 'nothing'}")
        out.append("")
    longest = sorted(house.modules.values(), key=lambda module: -module.lines)[:3]
    out += [f"longest modules: {', '.join(f'{m.name} {m.lines}' for m in longest)}"]
    functions = sorted(
        ((n, f"{module.name}.{f}") for module in house.modules.values()
         for f, _, n in module.functions), reverse=True
    )[:3]  # fmt: skip
    out += [f"longest functions: {', '.join(f'{name} {n}' for n, name in functions)}"]
    broken = {rule: found for rule, check in RULES.items() if (found := check(house))}
    for rule, found in broken.items():
        out += ["", f"broken: {rule}", *(f"  {fault}" for fault in found)]
    return "\n".join(out)


def test_the_picture_has_every_room(build):
    drawn = picture(build(trace="x = 1\n" * 500))
    assert "lab (5 lines in 3 modules) → lrlib, trace" in drawn
    assert "schedule (2 lines) → _checks" in drawn
    assert "longest modules: lrlib.trace 500, " in drawn
    assert "broken: short modules and functions\n  lrlib.trace has 500 lines" in drawn


if __name__ == "__main__":
    print(picture(House(PACKAGE)))
