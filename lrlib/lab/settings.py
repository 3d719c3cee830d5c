"""The environment variables of the book: LRLIB_SEED, LRLIB_DEVICE, LRLIB_SCALE and LRLIB_DASK."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from typing import Any

import torch

from lrlib import _checks

# Room for the seeds of one purpose; the next purpose, and the next LRLIB_SEED, start beyond it.
_ROOM = 10_000
_PURPOSES = ("judge", "tune", "other")


def _environment_integer(name: str, default: int, minimum: int) -> int:
    text = os.environ.get(name, str(default))
    try:
        return _checks.integer(name, "the environment variable", int(text), minimum=minimum)
    except ValueError:
        raise ValueError(
            f"the environment variable {name} must be an integer of at least {minimum}, "
            f"got {text!r}"
        ) from None


def seed_offset() -> int:
    """LRLIB_SEED (default 0): shifts every seed of the book. A claim must hold for any value."""
    return _environment_integer("LRLIB_SEED", 0, 0)


def scale() -> int:
    """LRLIB_SCALE (default 1): multiplies the seeds and steps of the book's experiments."""
    return _environment_integer("LRLIB_SCALE", 1, 1)


def seeds(n: int, purpose: str = "judge") -> list[int]:
    """`n` seeds (times LRLIB_SCALE), shifted by LRLIB_SEED.

    `purpose` is "judge", "tune" or "other"; no seed serves two purposes, so a peak tuned on
    ``seeds(4, "tune")`` is compared on seeds that had no say in it.
    """
    n = _checks.integer("seeds", "n", n, minimum=1) * scale()
    if n > _ROOM:
        raise ValueError(f"seeds: n times LRLIB_SCALE must be at most {_ROOM}, got {n}")
    _checks.choice("seeds", "purpose", purpose, _PURPOSES)
    first = (seed_offset() * len(_PURPOSES) + _PURPOSES.index(purpose)) * _ROOM
    return list(range(first, first + n))


def steps(n: int) -> int:
    """`n` optimizer steps, times LRLIB_SCALE."""
    return _checks.integer("steps", "n", n, minimum=1) * scale()


def device(name: str | None = None) -> torch.device:
    """The device `name`, or LRLIB_DEVICE, or else CUDA if it is there, then MPS, then the CPU.

    Raises ValueError, with the devices there are, if it is not on this machine.
    """
    here = ["cpu"]
    if torch.cuda.is_available():
        here.insert(0, "cuda")
    elif torch.backends.mps.is_available():
        here.insert(0, "mps")
    wanted = name or os.environ.get("LRLIB_DEVICE") or here[0]
    try:
        chosen = torch.device(wanted)
        torch.zeros(1, device=chosen).item()  # "meta" can hold no value
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):
        raise ValueError(
            f"device: {wanted!r} is not on this machine; set LRLIB_DEVICE to one of "
            f"{', '.join(here)}, or leave it unset"
        ) from None
    return chosen


def executor(given: Executor | None = None) -> Executor | None:
    """`given`, or the executor of the Dask cluster whose scheduler's address LRLIB_DASK is.

    None if there is neither: the cores of this machine. Raises TypeError if `given` is no
    `concurrent.futures.Executor`, ImportError without Dask, and ValueError if the variable is not
    the address of a scheduler.
    """
    if given is not None:
        if not isinstance(given, Executor):
            raise TypeError(
                f"sweep: executor must be a concurrent.futures.Executor (that of a Dask client is "
                f"client.get_executor()), got {given!r}"
            )
        return given
    address = os.environ.get("LRLIB_DASK")
    return _client(address).get_executor(pure=False) if address else None


_clients: dict[tuple[str, int], Any] = {}  # by address and process: a fork cannot use its parent's


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError(
            "LRLIB_DASK needs Dask on this machine and on the cluster's: pip install distributed"
        ) from None
    client = _clients.get((address, os.getpid()))
    if client is None or client.status != "running":
        try:
            client = Client(address, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"the environment variable LRLIB_DASK must be the address of a Dask scheduler, "
                f"such as tcp://10.0.0.5:8786, got {address!r}: {error}"
            ) from error
        _clients[address, os.getpid()] = client
    return client
