"""The README's recipes for Trainer, Lightning and accelerate, run in the real frameworks.

Each recipe runs as it is printed, and without `self_driving=True`. What was applied is compared
with the plan, and a run that was saved and resumed with one that was not. `python
tests/test_frameworks.py FOLDER` is what torchrun starts in two processes.
"""

import itertools
import json
import math
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lrlib
from lrlib import WSD, LRTrace, ScheduledLR, from_name

ROOT = Path(__file__).resolve().parent.parent
TITLE = "In Trainer, Lightning and accelerate"
PEAK = 3e-4  # of the recipes
# Three updates of eight samples in an epoch: micro-batches of two, four of them an update.
SAMPLES, MICRO, ACCUMULATION, EPOCHS, UPDATES = 24, 2, 4, 4, 12
OVERFLOW = 18  # the micro-batch whose gradients overflow, in the fifth update
GUARD = ROOT / "tests" / "guard"


def recipes() -> list[str]:
    """The blocks of code in the README's section."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {TITLE}\n")[1].split("\n## ")[0]
    return re.findall(r"(?ms)^```python\n(.*?)^```$", section)


TRAINER, OVERRIDE, LIGHTNING, ACCELERATE = range(4)


def recipe(index: int, *, self_driving: bool = True, fused: bool = False) -> str:
    """A recipe as printed; or with the scheduler's `step` to be called; or a fused optimizer."""
    source = recipes()[index]
    for wanted, printed, other in (
        (not self_driving, "shape, self_driving=True", "shape"),
        (fused, "lr=3e-4", "lr=3e-4, fused=True"),
    ):
        if wanted:
            assert source.count(printed) == 1
            source = source.replace(printed, other)
    return source


def run(source: str, **names) -> dict:
    """Execute a recipe among the names that it takes as given."""
    names = {"torch": torch, **names}
    exec(compile(source, "README.md", "exec"), names)
    return names


class Recorder:
    """Builds ScheduledLR for a recipe, and a trace beside it."""

    def __call__(self, optimizer, shape, **options):
        self.scheduler, self.trace = ScheduledLR(optimizer, shape, **options), LRTrace(optimizer)
        self.shape = shape
        return self.scheduler

    def rates(self, peak=PEAK):
        """Applied rates, and the planned ones of as many updates."""
        applied = self.trace.lr[:, 0].tolist()
        return applied, [peak * self.shape(step) for step in range(len(applied))]

    def check(self, updates=UPDATES, peak=PEAK, start=0):
        self.trace.assert_matches(self.shape, peak=peak, start=start)
        assert len(self.trace) == updates
        assert self.shape.length == UPDATES
        assert self.scheduler.last_epoch == start + updates


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(lrlib, "ScheduledLR", recorder)
    return recorder


@pytest.fixture
def said():
    """What ScheduledLR warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lambda: [str(one.message) for one in caught if "ScheduledLR" in str(one.message)]


def network(seed: int = 0, overflow: int | None = None) -> nn.Module:
    """A small model; the gradients of its micro-batch number `overflow` (from 1) are not finite."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.1), nn.Linear(4, 1))
    if overflow is not None:
        calls = itertools.count(1)
        model[0].weight.register_hook(
            lambda gradient: gradient * math.inf if next(calls) == overflow else gradient
        )
    return model


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 3, generator=generator)
    return TensorDataset(inputs, inputs.sum(1, keepdim=True))


def weights(model: nn.Module) -> list:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


def scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=2.0**10)


def test_every_recipe_of_the_readme_is_run_here():
    found = recipes()
    assert len(found) == 4
    for source, name in zip(
        found, ("Trainer(", "(Trainer)", "estimated", "Accelerator("), strict=True
    ):
        assert name in source and source.count("self_driving=True") == 1


# --- transformers


class Regression(nn.Module):
    """What Trainer trains: a module that returns its loss."""

    def __init__(self, overflow: int | None = None):
        super().__init__()
        self.network = network(overflow=overflow)

    def forward(self, inputs, labels):
        return {"loss": (self.network(inputs) - labels).square().mean()}


@pytest.fixture
def transformers():
    module = pytest.importorskip("transformers", reason="transformers is not installed (dev extra)")
    pytest.importorskip("accelerate", reason="accelerate is not installed (dev extra)")
    yield module
    forget_accelerate()


def forget_accelerate():
    """accelerate keeps one state for the whole process."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def trainer(transformers, way, folder, overflow=None, self_driving=True, fused=False, **options):
    """A Trainer as one of the two recipes makes it."""
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": MICRO,
        "gradient_accumulation_steps": ACCUMULATION,
        "learning_rate": PEAK,
        "optim": "adamw_torch_fused" if fused else "adamw_torch",
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
    }
    settings |= {"max_steps": UPDATES} if way == TRAINER else {"num_train_epochs": EPOCHS}
    args = transformers.TrainingArguments(**{**settings, **options})
    rows = [{"inputs": inputs, "labels": labels} for inputs, labels in data()]
    model = Regression(overflow)
    if way == TRAINER:
        source = recipe(way, self_driving=self_driving, fused=fused)
        return run(source, model=model, args=args, dataset=rows)["trainer"]
    source = recipe(way, self_driving=self_driving)
    return run(source)["ScheduledTrainer"](model, args, train_dataset=rows)


both_ways = pytest.mark.parametrize("way", [TRAINER, OVERRIDE], ids=["optimizers", "override"])
both_drivers = pytest.mark.parametrize("self_driving", [True, False], ids=["self-driving", "plain"])


@both_drivers
@both_ways
def test_trainer_applies_the_plan_and_logs_it(
    transformers, way, self_driving, recorder, said, tmp_path
):
    one = trainer(transformers, way, tmp_path, self_driving=self_driving)
    one.train()
    recorder.check()
    logged = [row["learning_rate"] for row in one.state.log_history if "learning_rate" in row]
    assert logged == recorder.rates()[0]
    assert recorder.scheduler.shape == (
        from_name("cosine", UPDATES, warmup=0.05)
        if way == TRAINER
        else WSD(UPDATES, warmup=0.05, cooldown=0.2)
    )
    assert said() == []


@both_drivers
@both_ways
def test_trainer_resumes_as_if_never_stopped(
    transformers, way, self_driving, recorder, said, tmp_path
):
    options = {"self_driving": self_driving, "save_strategy": "steps", "save_steps": 4}
    whole = trainer(transformers, way, tmp_path, **options)
    whole.train()
    recorder.check()
    rest = trainer(transformers, way, tmp_path, **options)
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    recorder.check(updates=UPDATES - 4, start=4)
    assert weights(rest.model) == weights(whole.model)
    assert said() == []


@pytest.mark.parametrize("fused", [False, True], ids=["", "fused"])
@both_drivers
@both_ways
def test_trainer_and_an_update_that_was_skipped(
    transformers, way, self_driving, fused, recorder, said, tmp_path
):
    options = {"overflow": OVERFLOW, "self_driving": self_driving, "fused": fused}
    one = trainer(transformers, way, tmp_path, max_grad_norm=0.0, **options)
    one.accelerator.scaler = scaler()
    one.train()
    if fused and not self_driving:
        check_miscount(recorder, said)
    else:
        recorder.check(updates=UPDATES - 1)
        assert said() == []


def check_miscount(recorder, said):
    """One call of step() too many, after the skipped fifth update: the rest is a step ahead."""
    applied, _ = recorder.rates()
    plan = [PEAK * recorder.shape(step) for step in range(UPDATES)]
    assert applied == plan[:4] + plan[5:]
    (message,) = said()
    assert "5 call(s) of step() and 4 update(s)" in message
    assert "gradient scaler" in message and "self_driving=True" in message


def test_trainer_with_a_transformer_of_its_own(transformers, recorder, said, tmp_path):
    """A language model of transformers, decayed and undecayed groups, saved in its own format."""
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(11, (SAMPLES, 8), generator=generator)
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    made = run(recipe(OVERRIDE))["ScheduledTrainer"]

    def build():
        torch.manual_seed(0)
        args = transformers.TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=MICRO,
            gradient_accumulation_steps=ACCUMULATION,
            num_train_epochs=EPOCHS,
            learning_rate=PEAK,
            weight_decay=0.1,
            save_strategy="steps",
            save_steps=4,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        )
        return made(transformers.GPT2LMHeadModel(config), args, train_dataset=rows)

    whole = build()
    whole.train()
    recorder.check()
    assert recorder.trace.lr.shape == (UPDATES, 2)
    rest = build()
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    for group in (0, 1):
        recorder.trace.assert_matches(recorder.shape, peak=PEAK, group=group, start=4)
    assert weights(rest.model) == weights(whole.model)
    assert said() == []


# --- Lightning


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning", reason="lightning is not installed (dev extra)")


def module(lightning, overflow=None, self_driving=True, fused=False):
    """A LightningModule with the recipe's configure_optimizers."""
    source = recipe(LIGHTNING, self_driving=self_driving, fused=fused)

    class Module(lightning.LightningModule):
        configure_optimizers = run(source)["configure_optimizers"]

        def __init__(self):
            super().__init__()
            self.network = network(overflow=overflow)

        def training_step(self, batch, index):
            inputs, targets = batch
            return (self.network(inputs) - targets).square().mean()

    return Module()


def fit(lightning, module, folder, resume=None, **options):
    settings = {
        "max_epochs": EPOCHS,
        "accumulate_grad_batches": ACCUMULATION,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    trainer = lightning.Trainer(**{**settings, **options})
    trainer.fit(module, DataLoader(data(), batch_size=MICRO), ckpt_path=resume)
    return trainer


@both_drivers
def test_lightning_applies_the_plan(lightning, self_driving, recorder, said, tmp_path):
    fit(lightning, module(lightning, self_driving=self_driving), tmp_path)
    recorder.check()
    assert recorder.shape == from_name("cosine", UPDATES, warmup=0.05)
    assert said() == []


@pytest.mark.parametrize("step", [6, 4], ids=["between epochs", "in an epoch"])
@both_drivers
def test_lightning_resumes_as_if_never_stopped(
    lightning, self_driving, step, recorder, said, tmp_path
):
    def build():
        one = module(lightning, self_driving=self_driving)
        one.network[2].p = 0.0  # Lightning does not save the state of the random numbers
        return one

    keep = lightning.pytorch.callbacks.ModelCheckpoint(
        tmp_path, filename="{step}", every_n_train_steps=step, save_top_k=-1
    )
    whole, rest = build(), build()
    fit(lightning, whole, tmp_path, callbacks=[keep], enable_checkpointing=True)
    recorder.check()
    fit(lightning, rest, tmp_path, resume=str(tmp_path / f"step={step}.ckpt"))
    recorder.check(updates=UPDATES - step, start=step)
    if step == 6:  # in an epoch, Lightning begins with the first batches again
        assert weights(rest) == weights(whole)
    assert said() == []


@pytest.mark.parametrize("fused", [False, True], ids=["", "fused"])
@both_drivers
def test_lightning_and_an_update_that_was_skipped(
    lightning, self_driving, fused, recorder, said, tmp_path
):
    """Lightning calls step() for a skipped update, whatever the optimizer."""
    plugin = lightning.pytorch.plugins.MixedPrecision("16-mixed", "cpu", scaler())
    one = module(lightning, OVERFLOW, self_driving, fused)
    fit(lightning, one, tmp_path, plugins=[plugin])
    if self_driving:
        recorder.check(updates=UPDATES - 1)
        assert said() == []
    else:
        check_miscount(recorder, said)


@both_drivers
def test_lightnings_default_interval_is_noticed(lightning, self_driving, recorder, said, tmp_path):
    """Which is why the recipe names another one; a self-driving scheduler does not mind."""
    one = module(lightning, self_driving=self_driving)
    configured = one.configure_optimizers

    def without_interval():
        made = configured()
        return [made["optimizer"]], [made["lr_scheduler"]["scheduler"]]

    one.configure_optimizers = without_interval
    fit(lightning, one, tmp_path)
    if self_driving:
        recorder.check()
        assert said() == []
    else:
        (message,) = said()
        assert "1 call(s) of step() and 3 update(s)" in message and "once per epoch" in message


# --- accelerate


CALL = "accelerator.sync_gradients and not accelerator.optimizer_step_was_skipped"


def after(source: str, line: str, new: str) -> str:
    """The source with new lines after one of its lines, indented alike."""
    (indent,) = re.findall(rf"(?m)^( *){re.escape(line)}$", source)
    old = f"{indent}{line}\n"
    return source.replace(old, old + textwrap.indent(new, indent) + "\n")


def accelerate_recipe(self_driving: bool, fused: bool = False) -> tuple[str, str]:
    """What the recipe does before its loop, and the loop; with the call of the README's prose."""
    source = recipe(ACCELERATE, self_driving=self_driving, fused=fused)
    if not self_driving:
        assert f"`{CALL}`" in (ROOT / "README.md").read_text(encoding="utf-8")
        source = after(source, "optimizer.step()", f"if {CALL}:\n    scheduler.step()")
    setup, loop = re.split(r"(?m)^(?=for )", source)
    return setup, loop


@pytest.fixture
def accelerate():
    module = pytest.importorskip("accelerate", reason="accelerate is not installed (dev extra)")
    forget_accelerate()
    yield module
    forget_accelerate()


def accelerated(setup: str, model: nn.Module) -> dict:
    loader = DataLoader(data(), batch_size=MICRO)
    names = {"model": model, "loader": loader, "epochs": EPOCHS}
    return run(setup, loss_function=nn.functional.mse_loss, **names)


def with_scaler(accelerator):
    """Builds accelerators with a gradient scaler, which accelerate itself refuses on the CPU."""

    def build(**options):
        made = accelerator(**options)
        made.scaler = scaler()
        return made

    return build


@both_drivers
def test_accelerate_applies_the_plan(accelerate, self_driving, recorder, said):
    setup, loop = accelerate_recipe(self_driving)
    exec(loop, accelerated(setup, network()))
    recorder.check()
    assert said() == []


@both_drivers
def test_accelerate_resumes_as_if_never_stopped(accelerate, self_driving, recorder, said, tmp_path):
    setup, loop = accelerate_recipe(self_driving)
    names = accelerated(setup, network())
    names["epochs"] = 2
    exec(loop, names)
    names["accelerator"].save_state(str(tmp_path))
    exec(loop, names)
    recorder.check()
    whole = weights(names["model"])
    forget_accelerate()
    names = accelerated(setup, network(seed=1))
    names["accelerator"].load_state(str(tmp_path))
    names["epochs"] = 2
    exec(loop, names)
    recorder.check(updates=UPDATES - 6, start=6)
    assert weights(names["model"]) == whole
    assert said() == []


@pytest.mark.parametrize("fused", [False, True], ids=["", "fused"])
@both_drivers
def test_accelerate_and_an_update_that_was_skipped(
    accelerate, self_driving, fused, recorder, said, monkeypatch
):
    monkeypatch.setattr(accelerate, "Accelerator", with_scaler(accelerate.Accelerator))
    setup, loop = accelerate_recipe(self_driving, fused)
    exec(loop, accelerated(setup, network(overflow=OVERFLOW)))
    if fused and not self_driving:
        check_miscount(recorder, said)
    else:
        recorder.check(updates=UPDATES - 1)
        assert said() == []


# --- accelerate in two processes

# Of each process twelve samples in six micro-batches, so two updates in an epoch.
CASES = {
    "self-driving": {},
    "plain": {"self_driving": False},
    "self-driving, skipped": {"overflow": 8},
    "plain, skipped": {"self_driving": False, "overflow": 8},
    "self-driving, prepared": {"prepared": True},
    "plain, prepared": {"self_driving": False, "prepared": True},
}


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What the two processes report, one after the other."""
    pytest.importorskip("accelerate", reason="accelerate is not installed (dev extra)")
    folder = tmp_path_factory.mktemp("processes")
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    paths = [str(GUARD), str(ROOT), os.environ.get("PYTHONPATH")]  # the network is refused
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "ACCELERATE_USE_CPU": "true",
        "GLOO_SOCKET_IFNAME": loopback,
        "OMP_NUM_THREADS": "1",
    }
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--local-addr", "127.0.0.1", "--nproc-per-node", "2", __file__, folder),
    ]
    # Its output goes to a file: who waits for a pipe would wait for whatever was left behind, too.
    with open(folder / "output", "w+") as output:
        torchrun = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            torchrun.wait(timeout=300)
        finally:
            torchrun.terminate()
            torchrun.wait()
        output.seek(0)
        assert torchrun.returncode == 0, output.read()
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("case", [*CASES, "resumed"])
def test_two_processes_apply_the_plan(processes, case):
    shape = from_name("cosine", 8, warmup=0.05)
    plan = [PEAK * shape(step) for step in range(8)]
    wrong = case == "plain, prepared"  # accelerate's wrapper calls step() once per process
    first, second = (report[case] for report in processes)
    assert first["weights"] == second["weights"]
    for report in (first, second):
        if wrong:
            assert report["rates"] == plan[::2] + [PEAK * shape(8)] * 4
            assert "2 call(s) of step() and 1 update(s)" in report["said"][0]
            assert "once per process" in report["said"][0]
        else:
            assert report["rates"] == (plan[:7] if "skipped" in case else plan)
            assert report["said"] == []
    if case == "resumed":
        assert [r[case]["weights"] for r in processes] == [
            r["self-driving"]["weights"] for r in processes
        ]


def in_a_process(folder: Path, self_driving=True, overflow=None, prepared=False, resumed=False):
    """Run one case; returns the rates, the weights and the warnings."""
    import accelerate

    forget_accelerate()
    recorder = lrlib.ScheduledLR = Recorder()
    setup, loop = accelerate_recipe(self_driving)
    if prepared:
        registered = "accelerator.register_for_checkpointing(scheduler)"
        setup = after(setup, registered, "scheduler = accelerator.prepare(scheduler)")
        setup = setup.replace(registered + "\n", "")  # save_state has what was prepared
        loop = loop.replace(f"if {CALL}:\n", "if True:\n")
        if self_driving:
            loop = after(loop, "optimizer.step()", "scheduler.step()")
    before = accelerate.Accelerator
    rank = int(os.environ["RANK"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if overflow is not None:
                accelerate.Accelerator = with_scaler(before)
            # It overflows in one process alone, and the update is skipped in both.
            names = accelerated(setup, network(overflow=overflow if rank == 1 else None))
        finally:
            accelerate.Accelerator = before
        names["epochs"] = EPOCHS // 2
        exec(loop, names)
        rates = recorder.rates()[0]
        if resumed:
            names["accelerator"].save_state(folder / "state")
            names["accelerator"].wait_for_everyone()
            names = accelerated(setup, network(seed=1))
            names["accelerator"].load_state(folder / "state")
            names["epochs"] = EPOCHS // 2
            exec(loop, names)
            rates += recorder.rates()[0]
        else:
            exec(loop, names)
            rates = recorder.rates()[0]
    said = [str(one.message) for one in caught if "ScheduledLR" in str(one.message)]
    return {"rates": rates, "weights": weights(names["model"]), "said": said}


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    reports = {case: in_a_process(folder, **options) for case, options in CASES.items()}
    reports["resumed"] = in_a_process(folder, resumed=True)
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(reports))
    torch.distributed.barrier()  # no process leaves while another may still need it
    # Without the clean-up at exit, in which gloo's threads abort now and then.
    os._exit(0)


if __name__ == "__main__":
    main()
