"""PPO balances a pole: what is played, what is learnt, and what a run is judged by."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from lrlib import Constant, PlateauRule, PolynomialDecay, growing_average, recipes
from lrlib.lab import control
from lrlib.lab.control import LONGEST, PPO, actor_critic, shortfall
from lrlib.lab.league import TASKS
from lrlib.lab.league.control import Control
from lrlib.lab.recorded_defaults import ControlRecording

SHORT = PPO(iterations=4, environments=3, horizon=16, evaluations=2, episodes=4)


@pytest.fixture
def gym():
    return pytest.importorskip("gymnasium")


def run(ppo=SHORT, shape=None, peak=0.01, seed=5, average=False, rule=None):
    return control._Run(ppo, shape or Constant(), peak, seed, average, rule)


# --- what is played


def test_the_step_after_an_end_is_no_step(gym):
    """gymnasium's vector environments reset in the step after an end, whatever the action."""
    playing, steps, ends = run(PPO(environments=5, horizon=40)), 0, 0
    for _ in range(3):
        before = playing.ended.copy()
        batch, finished = playing.play()
        steps += len(batch.actions)
        ends += len(finished)
        # Those that ended in the last step reset in the next iteration.
        resets = before.sum() + len(finished) - playing.ended.sum()
        assert len(batch.actions) == 5 * 40 - resets
        assert len(batch.seen) == len(batch.values) == len(batch.log_probability)
    assert ends > 10
    # Every pole's return is the number of steps in which it was played.
    assert batch.seen.shape[1] == 4 and (batch.log_probability < 0).all()


def test_returns_are_the_lengths_of_the_episodes(gym):
    playing, total = run(PPO(environments=2, horizon=100)), 0.0
    played = 0
    for _ in range(3):
        batch, finished = playing.play()
        total, played = total + sum(finished), played + len(batch.actions)
    assert total + playing.so_far.sum() == played


def test_actions_follow_the_policy(gym):
    playing = run(PPO(environments=20, horizon=50))
    last = playing.actor[-1]
    nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([0.0, float(np.log(3.0))])
    batch, _ = playing.play()
    assert 0.70 < batch.actions.float().mean() < 0.80
    wanted = torch.where(batch.actions == 1, 0.75, 0.25).log()
    assert torch.allclose(batch.log_probability, wanted, atol=1e-6)


def test_advantages_are_the_sum_written_out():
    ppo = PPO(discount=0.9, trace=0.8)
    playing = control._Run.__new__(control._Run)
    playing.ppo = ppo
    rng = np.random.default_rng(0)
    values, rewards = rng.normal(size=(7, 2)), rng.normal(size=(6, 2))
    lost, over = np.zeros((2, 6, 2), bool)
    lost[2, 0] = over[2, 0] = True  # fell: nothing comes after
    over[3, 1] = True  # stood to the end: what would have come counts
    found = playing.advantages(values, rewards, lost, over)
    for pole in range(2):
        for t in range(6):
            expected, weight = 0.0, 1.0
            for later in range(t, 6):
                after = 0.0 if lost[later, pole] else values[later + 1, pole]
                error = rewards[later, pole] + 0.9 * after - values[later, pole]
                expected += weight * error
                weight *= 0.9 * 0.8
                if over[later, pole]:
                    break
            assert found[t, pole] == pytest.approx(expected)


# --- what is learnt


def test_the_loss_of_a_first_minibatch(gym):
    playing = run()
    batch, _ = playing.play()
    rows = torch.arange(len(batch.actions))
    loss = playing.loss(batch, rows).item()
    # No ratio differs from 1 yet, and advantages have mean 0: the critic's error, less the bonus
    # for the entropy of a policy that is all but even.
    error = (playing.critic(batch.seen).squeeze(-1) - batch.values).square().mean().item()
    assert loss == pytest.approx(0.25 * error - 0.01 * np.log(2), abs=1e-3)


def test_a_ratio_counts_up_to_the_clip(gym):
    playing = run(PPO(entropy=0, environments=3, horizon=16))
    batch, _ = playing.play()
    rows = torch.arange(len(batch.actions))
    shift = torch.where(batch.actions == 1, 0.5, -0.5)
    moved = control._Batch(
        batch.seen, batch.actions, batch.log_probability - shift, batch.advantages, batch.values
    )
    advantage = batch.advantages - batch.advantages.mean()
    advantage = advantage / (batch.advantages.std() + 1e-8)
    ratio = shift.exp()
    gain = torch.where(
        advantage > 0, ratio.clamp(max=1.2) * advantage, ratio.clamp(min=0.8) * advantage
    )
    error = (playing.critic(batch.seen).squeeze(-1) - batch.values).square().mean()
    expected = -gain.mean() + 0.25 * error
    assert playing.loss(moved, rows).item() == pytest.approx(expected.item(), abs=1e-4)


def test_the_rate_is_the_peak_times_the_shape_at_every_update(gym):
    assert SHORT.updates == 4 * 4 * 4
    played = SHORT.run(PolynomialDecay(SHORT.updates), 0.02, 3)
    assert played.lr == pytest.approx(0.02 * PolynomialDecay(SHORT.updates).sample(SHORT.updates))
    assert played.losses.shape == (SHORT.updates,)
    assert played.returns.shape == (4,) and played.val.shape == played.test.shape == (2,)


def test_a_rule_lowers_the_rate_and_hears_of_shortfalls(gym):
    ppo, rule = PPO(iterations=10, evaluations=1, episodes=1), PlateauRule(patience=1, factor=0.5)
    played = ppo.run(Constant(), 1e-9, 3, rule=rule)  # nothing is learnt, so that the rule is met
    assert rule.drops == 0  # the run has a rule of its own
    levels, falls = played.lr[:: ppo.epochs * ppo.minibatches] / 1e-9, rule
    expected = [1.0]
    for value in LONGEST - played.returns:
        if np.isfinite(value):
            falls.observe(value)
        expected.append(falls.level)
    assert levels == pytest.approx(expected[:-1]) and levels[-1] < 1


def test_the_average_is_that_of_all_updates(gym):
    kept = []
    playing = run(average=True)
    step = playing.optimizer.step
    playing.optimizer.step = lambda: (
        step(),
        kept.append([p.detach().clone() for p in playing.actor.parameters()]),
    )[0]
    playing.scheduler.detach()  # it would miss the updates, being bound to the method
    playing.scheduler.step = lambda: None
    playing.played(2)
    average, take_in = kept[0], growing_average()
    for n, weights in enumerate(kept[1:], start=1):
        average = [take_in(a, w, n) for a, w in zip(average, weights, strict=True)]
    assert len(kept) == 2 * 16 == playing.taken
    for ours, wanted in zip(playing.average, average, strict=True):
        assert torch.allclose(ours, wanted, atol=1e-6)
    # What is judged is the average, not the last weights.
    judged = playing.judge()
    with torch.no_grad():
        for p, mean in zip(playing.actor.parameters(), average, strict=True):
            p.copy_(mean)
    playing.average = None
    assert playing.judge() == judged


def test_runs_repeat_themselves_and_leave_the_random_state_alone(gym):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = (SHORT.run(Constant(), 0.01, 7) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(first.losses, second.losses)
    assert np.array_equal(first.test, second.test)
    other = SHORT.run(Constant(), 0.01, 8)
    assert not np.array_equal(first.losses, other.losses)
    # Runs of a seed begin alike, whatever their shape and peak.
    third = SHORT.run(PolynomialDecay(64), 0.03, 7)
    assert third.losses[0] == first.losses[0] and third.losses[1] != first.losses[1]
    part = SHORT.run(Constant(), 0.01, 7, iterations=2)
    assert np.array_equal(part.losses, first.losses[:32]) and part.test[0] == first.test[0]


def test_first_losses_of_the_standard_run(gym):
    losses = PPO().run(PolynomialDecay(800), 0.01, 0, iterations=1).losses
    assert losses[[0, 1, 7, 15]] == pytest.approx(GOLDEN, rel=1e-4)


GOLDEN = [11.164274, 11.149966, 5.580039, 2.917603]


def test_the_pole_stays_up_longer_after_learning(gym):
    played = PPO(iterations=20, evaluations=2).run(Constant(), 0.008, 1)
    assert np.nanmean(played.returns[:3]) < 40 < np.nanmean(played.returns[-3:])


# --- what it is judged by


def test_the_shortfall_is_of_the_last_third_so_far():
    returns = np.array([[100.0, 200, 300, 400, 500, 500, 500], [0.0, 0, 0, 0, 0, 0, 70]])
    found = shortfall(returns)
    assert found[0] == pytest.approx([400, 300, 200, 150, 50, 0, 0])
    assert found[1, -1] == pytest.approx(500 - 70 / 3)
    assert shortfall(np.empty((3, 0))).shape == (3, 0)
    assert np.isnan(shortfall(np.array([1.0, np.nan]))[-1])


@pytest.mark.parametrize("policy", ["balance", "left"])
def test_the_greedy_policy_is_judged(gym, policy):
    playing = run(PPO(episodes=7))
    weights = {"balance": [0.1, 0.5, 1.0, 1.0], "left": [0.0] * 4}[policy]
    playing.actor = lambda seen: torch.stack(
        [torch.full((len(seen),), 1e-9), seen @ torch.tensor(weights)], -1
    )
    val, test = playing.judge()
    if policy == "balance":
        assert val == test == LONGEST
    else:
        assert 8 < val < 11 and 8 < test < 11
    assert playing.judge() == (val, test)  # the same starts every time


def test_a_run_that_diverged_is_no_number(gym, monkeypatch):
    true = control._Run.loss

    def loss(self, batch, rows):
        return true(self, batch, rows) * (np.nan if len(self.losses) == 40 else 1)

    monkeypatch.setattr(control._Run, "loss", loss)
    played = SHORT.run(Constant(), 0.01, 7)
    assert np.isfinite(played.test[0]) and np.isnan(played.test[1]) and np.isnan(played.val[1])
    assert np.isfinite(played.losses[:40]).all()


# --- settings


BAD = [
    ({"iterations": 0}, ValueError, "PPO: iterations must be at least 1, got 0"),
    ({"horizon": 2.0}, TypeError, "PPO: horizon must be an integer, got 2.0"),
    ({"clip": 1.5}, ValueError, "PPO: clip must be at most 1, got 1.5"),
    ({"discount": "1"}, TypeError, "PPO: discount must be a number, got '1'"),
    ({"evaluations": 3}, ValueError, "PPO: evaluations must divide the 50 iterations, got 3"),
    ({"minibatches": 7}, ValueError, "PPO: minibatches must divide the 256 steps of an iter.* 7"),
]


@pytest.mark.parametrize(("arguments", "error", "match"), BAD)
def test_bad_settings_are_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        PPO(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"peak": 0}, ValueError, "PPO.run: peak must be greater than 0, got 0"),
        ({"seed": -1}, ValueError, "PPO.run: seed must be at least 0, got -1"),
        ({"shape": 0.1}, TypeError, "shape"),
        ({"iterations": 5}, ValueError, "PPO.run: iterations must be at most 4, got 5"),
    ],
)
def test_bad_arguments_of_a_run_are_refused(gym, arguments, error, match):
    with pytest.raises(error, match=match):
        SHORT.run(**{"shape": Constant(), "peak": 0.01, "seed": 0} | arguments)


def test_without_gymnasium_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium.envs.classic_control.cartpole", None)
    with pytest.raises(ImportError, match=r"lab.control needs gymnasium, .*'lrlib\[rl\]'"):
        SHORT.run(Constant(), 0.01, 0)


def test_actor_and_critic_start_as_said():
    actor, critic = actor_critic(3)
    for model, outputs, gain in ((actor, 2, 0.01), (critic, 1, 1.0)):
        assert [layer.out_features for layer in model[::2]] == [64, 64, outputs]
        for layer, scale in zip(model[::2], (2**0.5, 2**0.5, gain), strict=True):
            values = torch.linalg.svdvals(layer.weight)
            assert torch.allclose(values, torch.full_like(values, scale), atol=1e-5)
            assert not layer.bias.any()


# --- in the league, and recorded


@pytest.mark.parametrize("name", ["linear", "average", "plateau"])
def test_the_league_trains_it_by_any_recipe(gym, name):
    recipe = recipes.RECIPES[name]
    task = Control(
        name="short", margin=25.0, worst=478.0, steps=SHORT.updates, middle=0.01, ppo=SHORT
    )
    kept = task.train(recipe, [0.003, 0.01], 2)
    assert kept.keys() == {"val", "test", "first", "return"}
    assert kept["val"].shape == kept["test"].shape == (2,) and kept["first"].shape == (2, 10)
    alone = task.train(recipe, [0.01], 2)
    assert all(np.array_equal(alone[key][0], kept[key][1]) for key in kept)
    rule = PlateauRule(factor=0.3, patience=5) if name == "plateau" else None
    direct = SHORT.run(task.shape(recipe), 0.01, 2, average=name == "average", rule=rule)
    assert kept["test"][1] == LONGEST - direct.test[-1:].mean()
    with pytest.raises(ValueError, match="Control: steps must be the 64 updates of ppo, got 50"):
        Control(name="short", margin=25.0, worst=478.0, steps=50, middle=0.01, ppo=SHORT)


def test_the_two_tasks_of_the_league():
    pole, vision = TASKS["pole"], TASKS["vision transformer"]
    assert pole.steps == pole.ppo.updates == 800 and pole.steps % 50 == vision.steps % 50 == 0
    assert pole.ppo.iterations == recipes.plateau.evaluations  # so that a rule hears of each
    assert vision.made(0).data.name == "mnist 28×28"
    assert pole.configuration()["ppo"] == repr(PPO())


def test_a_random_policy_is_as_bad_as_the_league_says(gym):
    playing = run(PPO(environments=40, horizon=100))
    finished = [value for _ in range(3) for value in playing.play()[1]]
    assert LONGEST - np.mean(finished) == pytest.approx(TASKS["pole"].worst, abs=3)


def test_a_recording_of_it_keeps_what_the_runs_measured(gym):
    made = ControlRecording(
        task="pole",
        settings={"iterations": 4, "environments": 3, "horizon": 16, "evaluations": 2},
        shapes={"linear": PolynomialDecay(64)},
        peaks={"linear": (0.003, 0.01)},
        seeds=2,
        steps=64,
        batch_size=12,
        data_files=(),
        evaluations=2,
    )
    kept = made.train(made.made_task(), "linear", 1, [0.003, 0.01])
    direct = made.made_task().run(PolynomialDecay(64), 0.01, 1)
    assert kept["first_losses"].shape == (2, 32) and kept["train_loss"].shape == (2, 50)
    assert kept["first_losses"][1] == pytest.approx(direct.losses[:32], rel=1e-5)
    assert np.array_equal(kept["test_return"][1], direct.test)
    assert np.array_equal(kept["val_shortfall"][1], shortfall(direct.val))
    first = made.train(made.made_task(), "linear", 1, [0.01], steps=20)
    assert np.array_equal(first["first_losses"][0], kept["first_losses"][1])
