"""Many models trained as one: stacked parameters, their gradients, and two optimizers.

A stack holds S models of one architecture. Every parameter is one tensor with a leading dimension
S, and nothing ever mixes two slices, so a slice that diverges leaves the others untouched.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from lrlib.lab.models import squared_error

ops = torch.ops.aten  # the backward formulas that autograd itself calls

Loss = Callable[[Tensor, Tensor], Tensor]


class Dense:
    """A gradient as a tensor of the parameter's own shape."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def dense(self) -> Tensor:
        return self.value

    def accumulate(self, buffer: Tensor, decay: float) -> None:
        """buffer <- decay * buffer + gradient"""
        buffer.mul_(decay).add_(self.value)


class Outer:
    """A linear layer's weight gradient as ``deltaᵀ @ inputs``, not multiplied out.

    Folding the product straight into the momentum buffer saves two passes over memory, which is
    what limits the speed of a stack on a CPU.
    """

    def __init__(self, delta: Tensor, inputs: Tensor) -> None:
        self.delta, self.inputs = delta.transpose(1, 2), inputs

    def dense(self) -> Tensor:
        return torch.bmm(self.delta, self.inputs)

    def accumulate(self, buffer: Tensor, decay: float) -> None:
        buffer.baddbmm_(self.delta, self.inputs, beta=decay)


Gradients = dict[str, "Dense | Outer"]


class StackedModule:
    """Any module without buffers, by ``torch.func.vmap``."""

    def __init__(self, models: list[nn.Module], loss: Loss, device: torch.device) -> None:
        if any(True for _ in models[0].buffers()):
            raise ValueError(
                f"sweep: the model must have no buffers (batch norm has), got {models[0]}"
            )
        # A copy: a functional call swaps the parameters in for a moment, and stacks in other
        # threads may have been made from the same models.
        self.template, self.loss = copy.deepcopy(models[0]).to(device), loss
        stacked, _ = stack_module_state(models)
        self.params = {name: p.detach().to(device) for name, p in stacked.items()}

    def forward(self, x: Tensor) -> Tensor:
        """x (S, batch, …) -> outputs (S, batch, …)"""
        return vmap(lambda params, x: functional_call(self.template, params, (x,)))(self.params, x)

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Gradients]:
        """The loss of each slice, shape (S,), and the gradients."""

        def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss(functional_call(self.template, params, (x,)), y)

        leaves = {name: p.requires_grad_() for name, p in self.params.items()}
        with torch.enable_grad():
            losses = vmap(loss)(leaves, x, y)
            values = torch.autograd.grad(losses.sum(), list(leaves.values()))
        for p in leaves.values():
            p.requires_grad_(False)
        return losses.detach(), {
            name: Dense(value) for name, value in zip(leaves, values, strict=True)
        }


class SingleModule(StackedModule):
    """A stack of one model, without vmap, which takes a third of a transformer's step."""

    def forward(self, x: Tensor) -> Tensor:
        params = {name: p[0] for name, p in self.params.items()}
        return functional_call(self.template, params, (x[0],)).unsqueeze(0)

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Gradients]:
        leaves = {name: p[0].requires_grad_() for name, p in self.params.items()}
        with torch.enable_grad():
            loss = self.loss(functional_call(self.template, leaves, (x[0],)), y[0])
            values = torch.autograd.grad(loss, list(leaves.values()))
        return loss.detach().unsqueeze(0), {
            name: Dense(value.unsqueeze(0)) for name, value in zip(leaves, values, strict=True)
        }


class StackedMLP(StackedModule):
    """Linear layers with ReLU or tanh between them: forward and backward by batched products.

    Several times faster than the general path for networks as small as the book's.
    """

    @staticmethod
    def fits(model: nn.Module, loss: Loss) -> bool:
        if not (type(model) is nn.Sequential and loss in _HEADS):
            return False
        linear, between = list(model)[::2], list(model)[1::2]
        return all(type(m) is nn.Linear and m.bias is not None for m in linear) and (
            len(linear) == len(between) + 1 and all(type(m) in (nn.ReLU, nn.Tanh) for m in between)
        )

    def __init__(self, models: list[nn.Module], loss: Loss, device: torch.device) -> None:
        super().__init__(models, loss, device)
        modules = list(cast(nn.Sequential, models[0]))  # see `fits`
        self.names = [str(i) for i in range(0, len(modules), 2)]
        self.relu = [type(m) is nn.ReLU for m in modules[1::2]]

    def _layers(self, x: Tensor) -> list[Tensor]:
        """The input of every layer, and last the outputs."""
        layers = [x]
        for i, name in enumerate(self.names):
            bias, weight = self.params[f"{name}.bias"], self.params[f"{name}.weight"]
            z = torch.baddbmm(bias.unsqueeze(1), layers[-1], weight.transpose(1, 2))
            if i < len(self.relu):
                z = z.relu_() if self.relu[i] else z.tanh_()
            layers.append(z)
        return layers

    def forward(self, x: Tensor) -> Tensor:
        return self._layers(x)[-1]

    def gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Gradients]:
        *inputs, outputs = self._layers(x)
        losses, delta = _HEADS[self.loss](outputs, y)
        grads: Gradients = {}
        for i in range(len(self.names) - 1, -1, -1):
            name = self.names[i]
            grads[f"{name}.weight"] = Outer(delta, inputs[i])
            grads[f"{name}.bias"] = Dense(delta.sum(1))
            if i:
                delta = torch.bmm(delta, self.params[f"{name}.weight"])
                if self.relu[i - 1]:
                    ops.threshold_backward.grad_input(delta, inputs[i], 0, grad_input=delta)
                else:
                    ops.tanh_backward.grad_input(delta, inputs[i], grad_input=delta)
        return losses, grads


def _cross_entropy_head(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Losses (S,) and their gradient with respect to the outputs (S, batch, classes)."""
    # With the classes in front the softmax is vectorised over slices and batch: eight times as
    # fast as along a last dimension of ten.
    log_p = outputs.permute(2, 0, 1).contiguous().log_softmax(0)
    index = labels.unsqueeze(0)
    losses = -log_p.gather(0, index).squeeze(0).mean(-1)
    delta = log_p.exp_()
    delta.scatter_add_(0, index, torch.full_like(index, -1, dtype=delta.dtype))
    return losses, delta.div_(labels.shape[-1]).permute(1, 2, 0).contiguous()


def _squared_error_head(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    residual = outputs - F.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)
    losses = 0.5 * residual.square().sum(-1).mean(-1)
    return losses, residual.div_(labels.shape[-1])


_HEADS = {F.cross_entropy: _cross_entropy_head, squared_error: _squared_error_head}


def stack(models: list[nn.Module], loss: Loss, device: torch.device) -> StackedModule:
    """The fastest stack that fits the models."""
    if StackedMLP.fits(models[0], loss):
        return StackedMLP(models, loss, device)
    return (SingleModule if len(models) == 1 else StackedModule)(models, loss, device)


def _per_slice(values: Tensor, p: Tensor) -> Tensor:
    """One value for each slice, shaped to multiply a parameter."""
    return values.view(-1, *(1,) * (p.dim() - 1))


def _beside(lr: Tensor, values: np.ndarray) -> Tensor:
    """`values` in the kind of tensor that `lr` is."""
    return torch.from_numpy(values).to(lr.dtype).to(lr.device)


class StackedSGD:
    """torch.optim.SGD with one learning rate per slice and, if given, one momentum.

    `applied` keeps the rates that were used, `applied_momentum` the momenta that were given.
    """

    def __init__(
        self, params: dict[str, Tensor], momentum: float, nesterov: bool, weight_decay: float
    ) -> None:
        self.params, self.applied, self.applied_momentum = params, [], []
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.taken = 0
        self.buffers = {name: torch.zeros_like(p) for name, p in params.items()}

    def memory(self) -> list[dict[str, Tensor]]:
        """The tensors that a later step depends on, as does the number of steps `taken`."""
        return [self.buffers]

    def step(self, grads: Gradients, lr: Tensor, momentum: np.ndarray | None = None) -> None:
        """`momentum`: float64, one for each slice, in place of the one for all."""
        self.taken += 1
        self.applied.append(lr)
        factor = still = kept = None
        if momentum is not None:
            self.applied_momentum.append(momentum.astype(np.float32))
            # A factor on the buffer before the usual update: the factor 1 leaves every bit as is.
            factor = _beside(lr, momentum / self.momentum)
            # As in torch, a step without momentum leaves the buffer alone.
            still = torch.from_numpy(np.flatnonzero(momentum == 0)).to(lr.device)
        for name, p in self.params.items():
            buffer, grad = self.buffers[name], grads[name]
            if factor is not None:
                kept = buffer[still]
                buffer.mul_(_per_slice(factor, p))
            if self.nesterov:
                direction = grad.dense()
                if self.weight_decay:
                    direction = direction.add(p, alpha=self.weight_decay)
                buffer.mul_(self.momentum).add_(direction)
                ahead = buffer if factor is None else buffer * _per_slice(factor, p)
                direction = direction.add(ahead, alpha=self.momentum)
            else:
                grad.accumulate(buffer, self.momentum)
                if self.weight_decay:
                    buffer.add_(p, alpha=self.weight_decay)
                direction = buffer
            p.addcmul_(direction, _per_slice(lr, p), value=-1)
            if kept is not None:
                buffer[still] = kept


class StackedAdamW:
    """torch.optim.AdamW with one learning rate per slice and, if given, one beta1 (`momentum`).

    `applied` keeps the rates that were used, `applied_momentum` the beta1 that were given.
    """

    def __init__(
        self,
        params: dict[str, Tensor],
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        self.params, self.applied, self.applied_momentum = params, [], []
        self.momentum, self.beta2 = betas
        self.eps, self.weight_decay = eps, weight_decay
        self.taken = 0
        self.first = {name: torch.zeros_like(p) for name, p in params.items()}
        self.second = {name: torch.zeros_like(p) for name, p in params.items()}
        self.scratch = {name: torch.empty_like(p) for name, p in params.items()}

    def memory(self) -> list[dict[str, Tensor]]:
        """The tensors that a later step depends on, as does the number of steps `taken`."""
        return [self.first, self.second]

    def step(self, grads: Gradients, lr: Tensor, momentum: np.ndarray | None = None) -> None:
        """`momentum`: float64, the beta1 of each slice, in place of the one for all."""
        self.taken += 1
        self.applied.append(lr)
        t = self.taken
        beta1, beta2 = self.momentum, self.beta2
        # The bias correction is of the present beta1, as in torch.
        if momentum is None:
            weight, correction = 1 - beta1, 1 / (1 - beta1**t)
        else:
            self.applied_momentum.append(momentum.astype(np.float32))
            weight = _beside(lr, 1 - momentum)
            correction = _beside(lr, 1 / (1 - momentum**t))
        size = lr * correction
        for name, p in self.params.items():
            grad = grads[name].dense()
            p.mul_(1 - _per_slice(lr, p) * self.weight_decay)
            self.first[name].lerp_(
                grad, _per_slice(weight, p) if isinstance(weight, Tensor) else weight
            )
            self.second[name].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            # In a tensor that stays: fresh ones at every step cost more than the arithmetic.
            scale = torch.sqrt(self.second[name], out=self.scratch[name])
            scale.div_((1 - beta2**t) ** 0.5).add_(self.eps)
            direction = torch.div(self.first[name], scale, out=scale)
            p.addcmul_(direction, _per_slice(size, p), value=-1)
