"""One training run in three ways: a large batch, accumulated microbatches, several processes.

``launch(2)`` starts this file in two processes by torchrun; ``train()`` is the same run in one.
"""

# No "from __future__ import annotations": torch checks the annotations of the hook below.

import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from lrlib import _checks
from lrlib.batch_size_scaling import GradientNoiseScale
from lrlib.cosine_annealing import CosineAnnealing
from lrlib.lab.models import mnist1d_task
from lrlib.lab.sweep import batches
from lrlib.scheduler import ScheduledLR
from lrlib.trace import LRTrace
from lrlib.warmup import Warmup

STEPS, BATCH, LR = 24, 32, 0.1  # the batch is that of an update, whoever computes it
SCHEDULE = Warmup(4).then(CosineAnnealing(STEPS - 4))


def train(processes: int = 1, rank: int = 0, microbatches: int = 1) -> dict[str, Any]:
    """Train for `STEPS` updates of `BATCH` samples each; this process computes its share of them.

    Returns the process's record: `loss` of the whole batch, float64 of shape (STEPS,); `gradient`
    that was applied, (STEPS, parameters); the applied rates `lr`, (STEPS,); final `weights`,
    (parameters,); and the `noise_scale` in samples (None if there was nothing to compare).
    """
    parts = processes * _checks.integer("train", "microbatches", microbatches, minimum=1)
    if BATCH % parts:
        raise ValueError(f"train: microbatches must share out {BATCH} samples, got {microbatches}")
    task = mnist1d_task()
    x, y = task.data.draw(0).split("train")
    model = task.model(seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
    scheduler, trace = ScheduledLR(optimizer, SCHEDULE), LRTrace(optimizer)
    noise, norms = GradientNoiseScale(), []
    net = model
    if processes > 1:
        net = DistributedDataParallel(model)
        net.register_comm_hook(norms, average_and_measure)

    losses, gradients = [], []
    for index in batches(0, len(x), STEPS, BATCH):
        mine = index[rank::processes]  # every process draws the same batch and takes its share
        optimizer.zero_grad()
        loss = 0.0
        for part in (mine[k::microbatches] for k in range(microbatches)):
            part_loss = task.loss(net(x[part]), y[part]) / microbatches
            part_loss.backward()  # the processes average their gradients here
            loss = loss + part_loss.detach()
            if microbatches > 1:
                noise.after_backward(model.parameters())
        if microbatches > 1:
            noise.end_update(BATCH // parts)
        if processes > 1:
            # For the record only: training itself needs none of this.
            mean = torch.stack([*torch.stack(norms).sum(0), torch.as_tensor(loss)])
            norms.clear()
            dist.all_reduce(mean.div_(processes))
            small_sq, big_sq, loss = mean.tolist()
            noise.update_norms(small_sq, big_sq, BATCH // parts, BATCH)
        losses.append(float(loss))
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat([grad.flatten() for grad in grads]))
        optimizer.step()
        scheduler.step()  # once per update, in every process
    return {
        "loss": torch.tensor(losses, dtype=torch.float64, device="cpu"),
        "gradient": torch.stack(gradients),
        "lr": torch.from_numpy(trace.lr[:, 0].copy()),
        "weights": torch.cat([p.detach().flatten() for p in model.parameters()]),
        "noise_scale": noise.value if noise.updates else None,
    }


def average_and_measure(
    norms: list[torch.Tensor],
    # torch's documentation has it here, and its check of this hook's annotations wants it.
    bucket: dist.GradBucket,  # pyright: ignore[reportPrivateImportUsage]
) -> torch.futures.Future[torch.Tensor]:
    """What DistributedDataParallel does with a bucket of gradients, and its norms on the way.

    Appends (squared norm of this process's gradients, squared norm of the average) to `norms`.
    """
    own = bucket.buffer().square().sum()
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None  # with async_op

    def average(done: torch.futures.Future[torch.Tensor]) -> torch.Tensor:
        mean = done.value()[0].div_(dist.get_world_size())
        norms.append(torch.stack([own, mean.square().sum()]))
        return mean

    return work.get_future().then(average)


def launch(processes: int = 2, *, timeout: float = 120) -> list[dict[str, Any]]:
    """Run `train` in as many processes on this machine; returns their records, by rank.

    The processes talk by gloo over the loopback interface alone. Raises RuntimeError with their
    output if they fail, or do not end within `timeout` seconds; none is left running.
    """
    processes = _checks.integer("launch", "processes", processes, minimum=2)
    timeout = _checks.number("launch", "timeout", timeout, above=0)
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": loopback, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)),
            *("-m", "lrlib.lab.data_parallel", folder),
        ]
        torchrun = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            output, _ = torchrun.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            torchrun.terminate()  # torchrun then ends its processes
            output, _ = torchrun.communicate()
        except BaseException:
            torchrun.terminate()
            torchrun.wait()
            raise
        if torchrun.returncode:
            raise RuntimeError(f"launch: the {processes} processes failed:\n{output}")
        return [torch.load(Path(folder, f"{rank}.pt")) for rank in range(processes)]


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    rank = dist.get_rank()
    torch.save(train(dist.get_world_size(), rank), folder / f"{rank}.pt")
    dist.barrier()  # no process leaves while another may still need it
    # Without the clean-up at exit: taking down gloo's threads aborts now and then ("terminate
    # called without an active exception"), after all work is done.
    os._exit(0)


if __name__ == "__main__":
    main()
