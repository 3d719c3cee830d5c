"""The real notebooks in JupyterLab: each can be opened, and what nobody edited stays as it was."""

import asyncio
import inspect
import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import cover
import notebooks
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import start_new_kernel
from jupyterlab.commands import get_app_dir
from jupyterlab_server.settings_utils import get_settings
from jupytext import AsyncTextFileContentsManager, TextFileContentsManager
from traitlets.config import PyFileConfigLoader

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ROOT / "tools" / "jupyter"
PAIRS = [
    str(pair.relative_to(ROOT).with_suffix(".ipynb"))
    for pair in notebooks.scripts_and_notebooks(ROOT)
]
SHEETS = [str(path.relative_to(ROOT)) for path in ROOT.glob("chapters/exercises/*/*.ipynb")]
# JupyterLab itself works with the second.
MANAGERS = [TextFileContentsManager, AsyncTextFileContentsManager]
LEFT_OUT = [".git", ".venv", ".audit", ".recording", "__pycache__", ".*_cache", ".hypothesis"]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A reader", "-c", "user.email=reader@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The files as they are now, committed in a repository of their own."""
    folder = tmp_path_factory.mktemp("repository") / "book"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=The book")
    return folder


@pytest.fixture
def clone(repository):
    yield repository
    git(repository, "checkout", "--quiet", ".")


def done(value):
    """The value, also where the contents manager is an asynchronous one."""
    return asyncio.run(value) if inspect.isawaitable(value) else value


def by_a_browser(content: dict) -> dict:
    """The notebook as JavaScript sends it back: its numbers have no decimal point to lose."""

    def number(text: str) -> int | float:
        value = float(text)
        return int(value) if value.is_integer() and abs(value) < 1e15 else value

    return json.loads(json.dumps(content), parse_float=number)


def open_and_save(manager_class: type, root: Path, path: str) -> None:
    manager = manager_class(root_dir=str(root))
    model = done(manager.get(path, type="notebook", content=True))
    content = by_a_browser(model["content"])
    done(manager.save({"type": "notebook", "format": "json", "content": content}, path))


def make_newer(newer: Path, older: Path) -> None:
    now = time.time()
    os.utime(newer, (now, now))
    os.utime(older, (now - 100, now - 100))


@pytest.mark.parametrize("path", PAIRS)
def test_an_unedited_pair_opens_and_a_save_changes_nothing(clone, path):
    notebook = clone / path
    script = notebook.with_suffix(".py")
    for manager_class in MANAGERS:
        for newer, older in [(notebook, script), (script, notebook)]:
            make_newer(newer, older)
            open_and_save(manager_class, clone, path)
            assert git(clone, "diff") == ""


@pytest.mark.parametrize("path", PAIRS)
def test_a_pair_opens_after_its_notebook_ran_elsewhere(clone, path):
    """As VS Code leaves it: other outputs, and a kernel by the name of the environment."""
    notebook = clone / path
    content = json.loads(notebook.read_text())
    content["metadata"]["kernelspec"]["display_name"] = ".venv (3.12.1)"
    content["metadata"]["language_info"]["version"] = "3.12.1"
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    notebook.write_text(json.dumps(content))
    make_newer(notebook, notebook.with_suffix(".py"))
    model = TextFileContentsManager(root_dir=str(clone)).get(path, content=True)
    assert len(model["content"]["cells"]) == len(content["cells"])
    assert not any(cell.get("outputs") for cell in model["content"]["cells"])


def test_a_pair_opens_by_its_script(clone):
    script = str(Path(PAIRS[0]).with_suffix(".py"))
    open_and_save(AsyncTextFileContentsManager, clone, script)
    assert git(clone, "diff") == ""


@pytest.mark.parametrize("path", SHEETS)
def test_an_unedited_student_version_opens_and_a_save_changes_nothing(clone, path):
    open_and_save(AsyncTextFileContentsManager, clone, path)
    assert git(clone, "status", "--porcelain") == ""


def test_an_edit_elsewhere_is_not_lost(clone):
    """The script would win over it; JupyterLab has to refuse, and says what to do."""
    notebook = clone / PAIRS[0]
    content = json.loads(notebook.read_text())
    content["cells"][0]["source"] = "# Another title"
    notebook.write_text(json.dumps(content))
    make_newer(notebook, notebook.with_suffix(".py"))
    with pytest.raises(Exception, match="Another title"):
        TextFileContentsManager(root_dir=str(clone)).get(PAIRS[0], content=True)


def test_the_notebooks_carry_the_filters_of_the_configuration():
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["jupytext"]
    configured.pop("formats")
    assert notebooks.NOTEBOOK_METADATA["jupytext"] == configured


# --- line endings


def test_a_clone_with_windows_line_endings_has_the_same_bytes(repository, tmp_path):
    source, target = str(repository), str(tmp_path / "clone")
    git(tmp_path, "clone", "--quiet", "--config=core.autocrlf=true", source, target)
    names = git(repository, "ls-files", "-z").split("\0")[:-1]
    assert len(names) > 150
    for name in names:
        assert (tmp_path / "clone" / name).read_bytes() == (repository / name).read_bytes(), name


def test_no_file_has_windows_line_endings_and_binary_ones_are_known(repository):
    for line in git(repository, "ls-files", "--eol").splitlines():
        (stored, _, attributes), name = line.split("\t")[0].split(maxsplit=2), line.split("\t")[1]
        binary = Path(name).suffix in (".npz", ".png")
        assert stored in (("i/-text",) if binary else ("i/lf", "i/none")), line
        assert attributes.strip() == ("attr/-text" if binary else "attr/text=auto eol=lf"), line


def test_the_tools_write_unix_line_endings(tmp_path, monkeypatch):
    written = {}
    monkeypatch.setattr(
        Path, "write_text", lambda path, text, **options: written.update(options) or path.touch()
    )
    notebooks.write_whole(tmp_path / "file", "one\ntwo\n")
    assert written["newline"] == "\n"


# --- what `make read` opens


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """The settings of `make read`, for a reader who has none of their own."""
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        monkeypatch.setenv(f"JUPYTER_{name}", str(tmp_path / name))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    recipe = re.search(r"(?m)^read:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())[1]
    assert "jupyter lab" in recipe
    for name, value in re.findall(r'(JUPYTER_\w+)="(\S+)"', recipe):
        monkeypatch.setenv(name, value.replace("$(CURDIR)", str(ROOT)))
    return tmp_path


def setting(reader: Path, plugin: str, name: str) -> object:
    """What a setting of JupyterLab is for this reader."""
    schemas = os.path.join(get_app_dir(), "schemas")
    settings, _ = get_settings(str(reader), schemas, str(reader), schema_name=plugin)
    return settings["schema"]["properties"][name]["default"]


def test_it_opens_the_cover_to_read(reader):
    config = PyFileConfigLoader("jupyter_lab_config.py", path=str(SETTINGS)).load_config()
    assert config.LabApp.default_url == f"/lab/tree/{cover.COVER}"
    assert (ROOT / cover.COVER).is_file()
    viewers = setting(reader, "@jupyterlab/docmanager-extension:plugin", "defaultViewers")
    assert viewers["markdown"] == "Markdown Preview"


def test_it_asks_no_question_about_news(reader):
    plugin = "@jupyterlab/apputils-extension:notification"
    assert setting(reader, plugin, "fetchNews") == "false"


def test_its_kernel_tells_what_the_notebooks_hold_already(reader):
    """JupyterLab writes both into an opened notebook, and marks it as changed if they differ."""
    spec = KernelSpecManager().get_kernel_spec("python3")
    told = {"display_name": spec.display_name, "language": spec.language, "name": "python3"}
    assert told == notebooks.NOTEBOOK_METADATA["kernelspec"]

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT / "chapters"))
    try:
        info = client.kernel_info(reply=True, timeout=60)["content"]["language_info"]
        assert info == notebooks.NOTEBOOK_METADATA["language_info"]
        code = {"where": "__import__('os').getcwd()", "path": "__import__('sys').path"}
        reply = client.execute("", user_expressions=code, reply=True, timeout=60)["content"]
        shown = {name: r["data"]["text/plain"] for name, r in reply["user_expressions"].items()}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert shown["where"] == repr(str(ROOT / "chapters"))
    assert str(SETTINGS) not in shown["path"]
