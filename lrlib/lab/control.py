"""Reinforcement learning in the lab: PPO balances a pole. Needs the extra `rl` (gymnasium).

The number that a run is judged by is its *shortfall*: of the 500 steps that a pole can be kept up
for, how many the policy misses. The return at the end of training would not do: on this task it
saturates at 500. So the policy is evaluated over the last third of the run, and the run ends before
all seeds have solved the task.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrlib import PlateauLR, ScheduledLR, _checks, growing_average
from lrlib.plateau import PlateauRule
from lrlib.schedule import Schedule

LONGEST = 500  # steps after which an episode of CartPole-v1 ends
# The smallest difference of shortfalls that matters, set before any result was seen: gymnasium
# calls the task solved at a return of 475, so this is the distance from "solved" to the most.
MARGIN = 25.0
_SHARES = ("discount", "trace", "clip", "entropy")


@dataclass(frozen=True, kw_only=True)
class PPO:
    """Proximal policy optimisation on CartPole-v1, with Adam.

    An iteration plays `horizon` steps in each of `environments`, then makes ``epochs ×
    minibatches`` updates on what it saw; ``updates`` is their number in the whole run, the unit
    that schedules count in. Actor and critic are networks of two tanh layers of 64.

    Attributes:
        iterations: of the run.
        environments, horizon: steps of an iteration are their product.
        epochs, minibatches: passes over an iteration's steps, and updates in each.
        discount: of later rewards.
        trace: λ of the generalised advantage estimate.
        clip: how far a probability ratio counts.
        entropy: weight of the policy's entropy in the loss.
        evaluations: of the greedy policy, evenly over the run; their number divides `iterations`.
        episodes: in an evaluation, on validation and again on test.

    Raises ImportError if gymnasium is missing, when a run is trained; TypeError or ValueError for
    bad settings. Sources: Schulman et al. (2017), Proximal policy optimization algorithms; the
    initialisation, Adam's eps, the norm at which gradients are clipped and the numbers below are
    those of CleanRL's ppo.py (Huang et al. 2022, The 37 implementation details of proximal policy
    optimization), but for its clipped value loss; environments and horizon are those of
    rl-baselines3-zoo for this task, whose rate is a line from 0.001.
    """

    iterations: int = 50
    environments: int = 8
    horizon: int = 32
    epochs: int = 4
    minibatches: int = 4
    discount: float = 0.99
    trace: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    evaluations: int = 10
    episodes: int = 32

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in _SHARES:
                _checks.number("PPO", name, value, minimum=0, maximum=1)
            else:
                _checks.integer("PPO", name, value, minimum=1)
        if self.iterations % self.evaluations:
            raise ValueError(
                f"PPO: evaluations must divide the {self.iterations} iterations, got "
                f"{self.evaluations}"
            )
        if self.environments * self.horizon % self.minibatches:
            raise ValueError(
                f"PPO: minibatches must divide the {self.environments * self.horizon} steps of an "
                f"iteration, got {self.minibatches}"
            )

    @property
    def updates(self) -> int:
        """Optimizer steps of a run."""
        return self.iterations * self.epochs * self.minibatches

    def run(
        self,
        shape: Schedule,
        peak: float,
        seed: int,
        *,
        average: bool = False,
        rule: PlateauRule | None = None,
        iterations: int | None = None,
    ) -> Played:
        """Train once; the same numbers for the same arguments, on one thread.

        Args:
            shape: the rate is ``peak × shape(updates made)``.
            seed: of initial weights, environments, actions and batches.
            average: evaluate the growing average of the weights, taken in after every update.
            rule: lowers the rate too; told after every iteration how many of the 500 steps the
                episodes that ended in it were short of, on average, and nothing if none ended.
            iterations: stop after so many; default all.
        """
        if iterations is None:
            iterations = self.iterations
        iterations = _checks.integer("PPO.run", "iterations", iterations, minimum=1)
        if iterations > self.iterations:
            raise ValueError(
                f"PPO.run: iterations must be at most {self.iterations}, got {iterations}"
            )
        return _Run(self, shape, peak, seed, average, rule).played(iterations)


@dataclass(frozen=True, eq=False)
class Played:
    """What a run of `PPO` measured.

    Attributes:
        losses: float64, (updates,): the loss of every minibatch.
        lr: float64, (updates,): the rates that were applied.
        returns: float64, (iterations,): mean return of the training episodes that ended, NaN
            where none did.
        val, test: float64, (evaluations,): mean return of the greedy policy, each on episodes of
            its own; NaN from a loss that is not finite.
    """

    losses: np.ndarray
    lr: np.ndarray
    returns: np.ndarray
    val: np.ndarray
    test: np.ndarray


def shortfall(returns: np.ndarray) -> np.ndarray:
    """500 less the mean return over the last third of the evaluations so far, (…, evaluations).

    At the last evaluation this is what a run is judged by.
    """
    found = np.empty_like(returns)
    for last in range(1, returns.shape[-1] + 1):
        late = returns[..., last - -(-last // 3) : last]
        found[..., last - 1] = LONGEST - late.mean(-1)
    return found


def actor_critic(seed: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Actor and critic with the initial weights of `seed`: orthogonal, the biases 0."""
    made = []
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        for outputs, gain in ((2, 0.01), (1, 1.0)):
            sizes, gains = ((4, 64), (64, 64), (64, outputs)), (2**0.5, 2**0.5, gain)
            layers = [nn.Linear(*size) for size in sizes]
            for layer, scale in zip(layers, gains, strict=True):
                nn.init.orthogonal_(layer.weight, scale)
                nn.init.zeros_(layer.bias)
            made.append(nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2]))
    return made[0], made[1]


def environments(number: int, seed: int) -> Any:
    """So many poles at once, as gymnasium's vector environment, and their first observations.

    Raises ImportError, saying what to install, if gymnasium is missing.
    """
    try:
        from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
    except ImportError as error:
        raise ImportError(
            "lab.control needs gymnasium, which is not installed (pip install 'lrlib[rl]')"
        ) from error
    made = CartPoleVectorEnv(number, LONGEST)
    first, _ = made.reset(seed=seed)
    return made, torch.from_numpy(first)


@dataclass(frozen=True, eq=False)
class _Batch:
    """The steps of an iteration; one row each."""

    seen: Tensor
    actions: Tensor
    log_probability: Tensor
    advantages: Tensor
    values: Tensor  # what the critic should have said


class _Run:
    def __init__(
        self,
        ppo: PPO,
        shape: Schedule,
        peak: float,
        seed: int,
        average: bool,
        rule: PlateauRule | None,
    ) -> None:
        self.ppo, self.seed = ppo, _checks.integer("PPO.run", "seed", seed, minimum=0)
        peak = _checks.number("PPO.run", "peak", peak, above=0)
        self.actor, self.critic = actor_critic(seed)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=peak, eps=1e-5)
        arguments = rule.arguments() if rule else {}
        kind: Any = PlateauLR if rule else ScheduledLR
        self.scheduler = kind(self.optimizer, shape, **arguments)
        self.watched = rule is not None
        self.taken, self.average = 0, None
        if average:
            self.average = [torch.zeros_like(p) for p in self.actor.parameters()]
        self.take_in = growing_average()
        self.rng = np.random.default_rng([seed, 7])
        self.poles, self.seen = environments(ppo.environments, int(self.rng.integers(2**31)))
        self.ended = np.zeros(ppo.environments, bool)  # whose next step starts an episode
        self.so_far = np.zeros(ppo.environments)  # return of the episode that goes on
        self.losses: list[float] = []
        self.lr: list[float] = []

    def played(self, iterations: int) -> Played:
        ppo, returns, judged = self.ppo, [], []
        for iteration in range(1, iterations + 1):
            batch, finished = self.play()
            returns.append(np.mean(finished) if finished else np.nan)
            self.learn(batch)
            if self.watched and finished:
                self.scheduler.observe(LONGEST - returns[-1])
            if iteration % (ppo.iterations // ppo.evaluations) == 0:
                judged.append(self.judge())
        val, test = np.reshape(judged, (-1, 2)).T
        return Played(np.array(self.losses), np.array(self.lr), np.array(returns), val, test)

    @torch.no_grad()
    def play(self) -> tuple[_Batch, list[float]]:
        """An iteration's steps, and the returns of the episodes that ended in it."""
        seen, actions, counts, rewards, lost, over, finished = [], [], [], [], [], [], []
        for draws in self.rng.random((self.ppo.horizon, self.ppo.environments)):
            first = F.softmax(self.actor(self.seen), -1)[:, 0].numpy()
            action = (draws >= first).astype(np.int64)
            seen.append(self.seen)
            actions.append(action)
            counts.append(~self.ended)  # the step after an end resets, whatever the action
            after, reward, terminated, truncated, _ = self.poles.step(action)
            self.seen, self.ended = torch.from_numpy(after), terminated | truncated
            self.so_far += reward
            finished += self.so_far[self.ended].tolist()
            self.so_far[self.ended] = 0
            rewards.append(reward)
            lost.append(terminated)
            over.append(self.ended)
        observed = torch.stack([*seen, self.seen])
        values = self.critic(observed).squeeze(-1).double().numpy()
        advantages = self.advantages(values, np.array(rewards), np.array(lost), np.array(over))
        keep = torch.from_numpy(np.array(counts).ravel())
        taken = torch.from_numpy(np.array(actions).ravel())[keep]
        rows = observed[:-1].flatten(0, 1)[keep]
        log_probability = F.log_softmax(self.actor(rows), -1).gather(-1, taken[:, None]).squeeze(-1)
        wanted = torch.from_numpy((advantages + values[:-1]).ravel()).float()[keep]
        advantage = torch.from_numpy(advantages.ravel()).float()[keep]
        return _Batch(rows, taken, log_probability, advantage, wanted), finished

    def advantages(
        self, values: np.ndarray, rewards: np.ndarray, lost: np.ndarray, over: np.ndarray
    ) -> np.ndarray:
        """Generalised advantage estimates, (horizon, environments); values have one row more.

        A pole that fell is worth nothing from there on, one that stood to the end what it would
        have been worth if the episode had gone on.
        """
        ppo, found = self.ppo, np.zeros_like(values)
        for t in reversed(range(len(rewards))):
            error = rewards[t] + ppo.discount * values[t + 1] * ~lost[t] - values[t]
            found[t] = error + ppo.discount * ppo.trace * ~over[t] * found[t + 1]
        return found[:-1]

    def learn(self, batch: _Batch) -> None:
        for _ in range(self.ppo.epochs):
            order = torch.from_numpy(self.rng.permutation(len(batch.actions)))
            for rows in order.tensor_split(self.ppo.minibatches):
                loss = self.loss(batch, rows)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, 0.5)
                self.losses.append(loss.item())
                self.lr.append(self.optimizer.param_groups[0]["lr"])
                self.optimizer.step()
                self.scheduler.step()
                self.take_in_weights()

    def loss(self, batch: _Batch, rows: Tensor) -> Tensor:
        seen, advantage = batch.seen[rows], batch.advantages[rows]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        every = F.log_softmax(self.actor(seen), -1)
        now = every.gather(-1, batch.actions[rows, None]).squeeze(-1)
        ratio = (now - batch.log_probability[rows]).exp()
        clipped = ratio.clamp(1 - self.ppo.clip, 1 + self.ppo.clip)
        policy = -torch.minimum(ratio * advantage, clipped * advantage).mean()
        value = 0.5 * (self.critic(seen).squeeze(-1) - batch.values[rows]).square().mean()
        entropy = -(every.exp() * every).sum(-1).mean()
        return policy + 0.5 * value - self.ppo.entropy * entropy

    @torch.no_grad()
    def take_in_weights(self) -> None:
        if self.average is not None:
            for mean, p in zip(self.average, self.actor.parameters(), strict=True):
                mean.copy_(self.take_in(mean, p, self.taken) if self.taken else p)
        self.taken += 1

    @torch.no_grad()
    def judge(self) -> tuple[float, float]:
        """Mean returns of the greedy policy, over validation and test episodes."""
        if not np.isfinite(self.losses).all():
            return np.nan, np.nan
        actor, n = self.actor, self.ppo.episodes
        if self.average is not None:
            actor, _ = actor_critic(self.seed)
            for p, mean in zip(actor.parameters(), self.average, strict=True):
                p.copy_(mean)
        # The same starts at every evaluation and for every run of the seed.
        poles, seen = environments(
            2 * n, int(np.random.default_rng([self.seed, 8]).integers(2**31))
        )
        total, up = np.zeros(2 * n), np.ones(2 * n, bool)
        while up.any():
            after, reward, terminated, truncated, _ = poles.step(actor(seen).argmax(-1).numpy())
            seen = torch.from_numpy(after)
            total += reward * up
            up &= ~(terminated | truncated)
        return float(total[:n].mean()), float(total[n:].mean())
