"""Refuses network connections in every Python process that has this folder on PYTHONPATH.

Everything but this machine's own loopback addresses and Unix sockets is refused, through an
audit hook: it sees each call that Python code makes, whichever module made it. tools/run_tests.py
puts the folder on the path of the tests and of the notebooks' kernels.
"""

import sys


class NetworkBlockedError(OSError):
    """A test or a notebook tried to use the network."""


def _is_local(host):
    from ipaddress import ip_address

    if isinstance(host, bytes | bytearray):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost"):
        return True
    try:
        return ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:  # a name, not an address
        return False


def _guard(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        # Unix sockets have a path for an address; sendmsg on a connected socket has none.
        host = address[0] if isinstance(address, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = args[0]
    else:
        return
    if not _is_local(host):
        raise NetworkBlockedError(f"no network at run time: {event} to {host!r} was refused")


def _run_next_sitecustomize():
    """Run the sitecustomize that this one hides, if there is one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    from pathlib import Path

    here = Path(__file__).resolve().parent
    others = [entry for entry in sys.path if Path(entry).resolve() != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


sys.addaudithook(_guard)
_run_next_sitecustomize()
