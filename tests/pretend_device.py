"""A device that is not there: what runs on it is computed on the CPU, under the rules of a Mac's.

Tensors on it say so, cannot be float64, do not mix with those on the CPU, and have no NumPy view.
Since the CPU does the work, results must equal the CPU's bit for bit.
"""

from concurrent.futures import Executor, Future

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "lazy"  # a kind of device that torch knows, that needs no hardware and is used by nothing

_aten = torch.ops.aten
# What may mix the two: copies, and indices. (And scalars, everywhere.)
_MIXING = {
    *(_aten.copy_.default, _aten._to_copy.default, _aten.index.Tensor),
    *(_aten.index_put.default, _aten.index_put_.default),
}


class OnDevice(torch.Tensor):
    """A tensor of the pretended device: a shell around one on the CPU."""

    @staticmethod
    def __new__(cls, inner):
        if inner.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"cannot make a {inner.dtype} tensor on {NAME!r}, which has none")
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, dtype=inner.dtype, device=NAME, **layout
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"OnDevice({self.inner})"

    def numpy(self, *_, **__):
        raise TypeError(f"cannot convert a tensor on {NAME!r} to numpy; use Tensor.cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class PretendDevice(TorchDispatchMode):
    """While it is entered, the device is there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func, args, kwargs):
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    ours = [x for x in tensors if isinstance(x, OnDevice)]
    others = [x for x in tensors if not isinstance(x, OnDevice) and x.dim()]
    if ours and others and func not in _MIXING:
        raise RuntimeError(f"{func}: expected all tensors on one device, got {NAME!r} and 'cpu'")
    if func is _aten.copy_.default:
        there = isinstance(args[0], OnDevice)
    elif kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == NAME
    else:
        there = bool(ours)
    if there and kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": "cpu"}
    inside = tree_map(lambda x: x.inner if isinstance(x, OnDevice) else x, (args, kwargs))
    out = func(*inside[0], **inside[1])
    if not there:
        return out
    out = tree_map(lambda x: OnDevice(x) if isinstance(x, torch.Tensor) else x, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if ours else out


class Inline(Executor):
    """Runs at once, in this thread: in another, neither a mode nor a default device would hold."""

    def __init__(self, *_):
        pass

    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        return future
