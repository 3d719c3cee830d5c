"""tests/guard/sitecustomize.py refuses the network, and only the network."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

GUARD = Path(__file__).parent / "guard"

# 192.0.2.1 is set aside for documentation: it belongs to nobody.
REFUSED = {
    "connect": "socket.socket().connect(('192.0.2.1', 80))",
    "connect_ex": "socket.socket().connect_ex(('192.0.2.1', 80))",
    "create_connection": "socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "ipv6": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    "sendto": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 80))",
    "sendmsg": "socket.socket(type=socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 80))",
    "name": "socket.getaddrinfo('example.invalid', 80)",
    "urllib": "__import__('urllib.request').request.urlopen('http://192.0.2.1/', timeout=1)",
}

ALLOWED = """
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1])) as client:
            connection, _ = server.accept()
            client.sendall(b"hello")
            assert connection.recv(5) == b"hello"
            connection.close()
    left, right = socket.socketpair()
    left.sendmsg([b"hello"])
    assert right.recv(5) == b"hello"
    left.close(), right.close()
    print("allowed")
"""


def program(statement: str) -> str:
    return textwrap.dedent(f"""
        import socket
        try:
            {statement}
        except OSError as error:
            print(error)
        else:
            print("connected")
    """)


@pytest.fixture
def guarded(monkeypatch):
    """Child processes and kernels are guarded, also when run_tests.py did not start us."""
    paths = [str(GUARD), os.environ.get("PYTHONPATH")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


def run(code: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("how", REFUSED)
def test_a_process_is_refused(guarded, how):
    assert "no network at run time" in run(program(REFUSED[how]))


def test_loopback_and_unix_sockets_work(guarded):
    assert run(ALLOWED) == "allowed"


def test_asyncio_works(guarded):
    code = """
        import asyncio
        async def main():
            server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            server.close()
            print("allowed")
        asyncio.run(main())
    """
    assert run(code) == "allowed"


def test_a_kernel_is_refused(guarded):
    cells = [program(REFUSED["connect"]), textwrap.dedent(ALLOWED)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    refused, allowed = (cell.outputs[0].text for cell in notebook.cells)
    assert "no network at run time: socket.connect to '192.0.2.1' was refused" in refused
    assert allowed == "allowed\n"


def test_another_sitecustomize_still_runs(guarded, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.other_ran = True")
    monkeypatch.setenv("PYTHONPATH", os.environ["PYTHONPATH"] + os.pathsep + str(tmp_path))
    assert run("import sys; print(sys.other_ran)") == "True"


def test_this_run_is_guarded_when_run_tests_started_it():
    """run_tests.py puts the guard on PYTHONPATH; then this very process must have it."""
    if str(GUARD) in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        assert Path(sys.modules["sitecustomize"].__file__).parent == GUARD
