"""Chapter 11: PlateauLR, a schedule whose rates also fall when a metric stops improving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import distributed
from torch.optim import Optimizer

from lrlib import plateau
from lrlib._optimizers import uncompiled
from lrlib._resuming import State
from lrlib._writing import Setting
from lrlib.plateau import PlateauRule
from lrlib.schedule import Schedule
from lrlib.scheduler import ScheduledLR


class PlateauLR(ScheduledLR):
    """A ScheduledLR whose rates also fall when a metric stops improving.

    The rates are ``base rate * shape(t) * level``, where `level` is 1 until the first drop. Call
    ``step()`` after every update, as ever, and ``observe(metric)`` after every evaluation:

    >>> import torch
    >>> from lrlib import Constant, LRTrace, PlateauLR, Warmup
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> scheduler, trace = PlateauLR(optimizer, Warmup(2), patience=1), LRTrace(optimizer)
    >>> for loss in (0.9, 0.5, 0.6, 0.7, 0.6):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     if scheduler.observe(loss):
    ...         print("fell after step", scheduler.last_epoch)
    fell after step 4
    >>> trace.lr[:, 0].round(3).tolist()
    [0.0, 0.05, 0.1, 0.1, 0.01]

    Args:
        optimizer: as in `ScheduledLR`.
        shape: as in `ScheduledLR`: any schedule, or one per group; ``Constant(1.0)`` for none.
        mode: "min" for a metric that should fall (a loss), "max" for one that should rise.
        factor: what a drop multiplies the rates by, in (0, 1).
        patience: bad evaluations in a row that are borne; the one after them is a drop.
        threshold: by how much an evaluation must beat the best so far, at least 0.
        threshold_mode: "rel": by that share of the best's size; "abs": by that much.
        cooldown: evaluations after a drop in which bad ones are not counted.
        min_factor: the drops together do not lower the rates by more than this factor, in [0, 1].
            `min_lr` is a floor under the rates themselves.
        process_group: of several processes, who must agree; see `observe`. None: all, where
            torch.distributed is in use. False: each for itself.

    The others are those of `ScheduledLR`, by name only. The momentum and the weight decay do not
    fall. patience, threshold and cooldown are counted in evaluations, and mean what they mean in
    torch's ReduceLROnPlateau; where its rule fails, see `PlateauRule`. How much patience a noisy
    metric needs: `lrlib.patience_needed`.

    The state is the counter, the base rates, and what the rule has seen, so that a run resumes
    bit for bit, as with `ScheduledLR`, in the middle of patience and cooldown too. The arguments
    given now hold, not the saved ones; where they differ, a UserWarning says so (under another
    `mode` the best so far is forgotten); the drops that were made stay. The state of a ScheduledLR,
    or of a scheduler of torch that counts updates, is taken too: the rule then starts anew, and
    that is said. From torch's ReduceLROnPlateau: load the optimizer's state, build
    ``PlateauLR(optimizer, shape, start=<updates made>)``, and give ``scheduler.rule`` the state.

    The errors are those of `ScheduledLR` and `PlateauRule`.
    """

    _NO_EPOCH = (
        "PlateauLR: step() takes neither a metric nor an epoch: call step() after every update, "
        "and observe(metric) after every evaluation; got epoch="
    )

    def __init__(
        self,
        optimizer: Optimizer,
        shape: Schedule | Sequence[Schedule],
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_factor: float = 0.0,
        *,
        process_group: Any = None,
        momentum: Schedule | Sequence[Schedule] | None = None,
        weight_decay: Schedule | Sequence[Schedule] | None = None,
        min_lr: float | Sequence[float] = 0.0,
        self_driving: bool = False,
        start: int = 0,
        last_epoch: int = -1,
    ) -> None:
        arguments = {
            "mode": mode,
            "factor": factor,
            "patience": patience,
            "threshold": threshold,
            "threshold_mode": threshold_mode,
            "cooldown": cooldown,
            "min_factor": min_factor,
        }
        self._rule = PlateauRule(**plateau.checked("PlateauLR", arguments))
        self._process_group: Any = process_group
        if not (process_group is None or process_group is False or hasattr(process_group, "rank")):
            raise TypeError(
                f"PlateauLR: process_group must be a torch ProcessGroup, None or False, got "
                f"{process_group!r}"
            )
        super().__init__(
            optimizer,
            shape,
            momentum=momentum,
            weight_decay=weight_decay,
            min_lr=min_lr,
            self_driving=self_driving,
            start=start,
            last_epoch=last_epoch,
        )

    @property
    def rule(self) -> PlateauRule:
        """The rule, for a look at its `level`, `best`, `bad`, `drops` and `cooldown_left`."""
        assert self._rule is not None
        return self._rule

    @uncompiled
    def observe(self, metric: Any) -> bool:
        """Take one evaluation; True if the rates fell. They fall at once, for the next update.

        `metric` is a number, or a tensor or array of no dimensions. None and NaN, and an infinity
        on the good side, are no evaluation: nothing changes, and a UserWarning says so, once.

        Where torch.distributed is in use, every process must call this, and the metric of the
        group's first decides for all, so that their rates cannot part ways; the others may give
        None. If every process evaluates a share of the data, average the metric over them first:
        there is less noise in it then.

        Raises TypeError if the metric is no number; RuntimeError after `detach` or after a later
        ScheduledLR took over.
        """
        self._check_driving()
        value = self._agreed(metric)
        if not self.rule.counts(value):
            self._say("metric", _NO_EVALUATION.format(value, self._last_epoch), 3)
            return False
        # Nothing is kept of an evaluation after which the rates could not be written.
        before = self.rule.state_dict()
        if not self.rule.observe(value):
            return False
        try:
            self._rewrite()
        except BaseException:
            self.rule.load_state_dict(before)
            raise
        return True

    def _agreed(self, metric: Any) -> float | None:
        """The metric of the process that decides."""
        group: Any = self._process_group
        if group is False or not (distributed.is_available() and distributed.is_initialized()):
            return plateau.as_metric("PlateauLR", metric)
        return _decided(group, metric)

    def _rewrite(self) -> None:
        """Write the rates that the level gives now."""
        self._look_at_lent_zero()
        self._adopt_new_groups()
        self._apply(base=dict(self._base))
        self._used = None

    def _setting(self, name: str, base: list[float]) -> Setting:
        level = self.rule.level if name == "lr" else 1.0
        return super()._setting(name, [start * level for start in base])

    def state_dict(self) -> dict[str, Any]:
        """As of `ScheduledLR`; what the rule has seen, and its arguments, under "plateau"."""
        return {**super().state_dict(), "plateau": self.rule.state_dict()}

    def _resumed_rule(self, state: State) -> PlateauRule:
        rule = PlateauRule(**self.rule.arguments())
        if state.plateau is not None:
            rule.load_state_dict(state.plateau)
        return rule

    def _other_plateau(self, state: State, count: int) -> list[str]:
        if state.plateau is None:
            return [
                f"PlateauLR: resuming at step {count} from the state of a scheduler without a "
                f"plateau rule: the rule starts anew"
            ]
        was, now = state.plateau["arguments"], self.rule.arguments()
        return [
            f"PlateauLR: resuming at step {count} with another {name}: saved {was.get(name)!r}, "
            f"now {value!r}"
            for name, value in now.items()
            if was.get(name) != value
        ]


def _decided(group: distributed.ProcessGroup | None, metric: Any) -> float | None:
    """The metric of the first process of the group, in all of them."""
    decides = distributed.get_rank(group) == 0
    told = [plateau.as_metric("PlateauLR", metric) if decides else None]
    if distributed.get_world_size(group) > 1:
        first = 0 if group is None else distributed.get_global_rank(group, 0)
        distributed.broadcast_object_list(told, src=first, group=group)
    return told[0]


_NO_EVALUATION = (
    "PlateauLR: the metric is {!r} at step {}, which is no evaluation: the rule passes over it and "
    "others like it (a lower rate does not mend a run whose loss is NaN)"
)
