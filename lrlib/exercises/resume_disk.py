"""Chapter 13's exercise 2: a file that is whole at every moment, on a disk that is simulated."""

from __future__ import annotations

from typing import Any

from lrlib.exercises import Ask, Like, Limit, Mistake, exercise, seal

__all__ = ["Disk", "check_save"]


class Disk:
    """The disk of exercise 2: it notes what stands under a name after every operation.

    ``write(name, text)`` puts a file in place of what was there, in two halves; ``sync(name)``
    forces its content to the platter; ``rename(old, new)`` gives it another name, in one step,
    in place of what was there; ``remove(name)`` deletes it; ``read(name)`` gives the text.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name, self.limit = name, Limit(1_000, "operations on the disk")
        self.files = {name: [text, text]}  # what a program sees, and what a power cut leaves
        self.past: list[tuple[str, str | None, str | None]] = []

    def _done(self, words: str) -> None:
        self.limit()
        seen, kept = self.files.get(self.name, (None, None))
        self.past.append((words, seen, kept))

    def write(self, name: str, text: str) -> None:
        text = str(text)
        self.files[name] = [text[: len(text) // 2], ""]
        self._done(f"half of write({name!r}, …)")
        self.files[name][0] = text
        self._done(f"write({name!r}, …)")

    def sync(self, name: str) -> None:
        self._file(name)[1] = self._file(name)[0]
        self._done(f"sync({name!r})")

    def rename(self, old: str, new: str) -> None:
        self._file(old)
        self.files[new] = self.files.pop(old)
        self._done(f"rename({old!r}, {new!r})")

    def remove(self, name: str) -> None:
        self._file(name)
        del self.files[name]
        self._done(f"remove({name!r})")

    def read(self, name: str) -> str:
        return self._file(name)[0]

    def _file(self, name: str) -> list[str]:
        if name not in self.files:
            raise FileNotFoundError(f"there is no file {name!r} on the disk")
        return self.files[name]


def _saved(ask: Ask, name: str, old: str, new: str) -> dict[str, Any]:
    disk = Disk(name, old)
    if ask(disk, name, new) is not disk:
        raise Mistake(f"{ask.name} should return the disk that it was given.")
    words = {None: "there is no such file", "": "the file is empty", old: "the file is the old one"}
    end, at_end = disk.files.get(name, [None, None]), {new: "saved"}
    said = at_end.get(end[0]) or words.get(end[0], "the file is another one")
    if said != "saved" and any(text == new for text, _ in disk.files.values()):
        said += ", and the new text is in another"
    outcome: dict[str, Any] = {"saved": Like(said)}
    for part, which in (("killed", 1), ("power cut", 2)):
        outcome[part] = Like("whole at every moment")
        for moment in disk.past:
            if moment[which] not in (old, new):
                state = words.get(moment[which], "the file is cut short")
                outcome[part] = Like(f"after {moment[0]}, {state}")
                break
    outcome["lasting"] = "yes" if end[1] == new else "no"
    outcome["left"] = len(disk.files) - 1
    return outcome


def _steps(text: str):
    """A `save` from words such as "write new, sync new, rename new": N is the name, n another."""

    def save(disk, name, data):
        names = {"N": name, "n": name + ".new", "o": name + ".old"}
        for words in text.split(", "):
            verb, *which = words.split()
            files = [names[letter] for letter in which]
            getattr(disk, verb)(*files, *([data] if verb == "write" else []))
        return disk

    return save


check_save = exercise(
    "Exercise 2: ``save(disk, name, text)``, whole or not at all.",
    right=_steps("write n, sync n, rename n N"),
    names=("name", "old", "new"),
    cases=(("run.pt", "weights of step 100", "weights of step 200"), ("b", "abcdef", "ghijklmn")),
    read=_saved,
    wrong=(
        (
            "you write over the good file: from the first half on it is cut short. Write under "
            "another name, and rename, which takes one step.",
            _steps("write N"),
            _steps("write N, sync N"),
            _steps("sync N, write N, sync N"),
            _steps("write n, sync n, write N, remove n"),
            _steps("write n, sync n, write N, sync N, remove n"),
            _steps("write n, write N, sync N"),
        ),
        (
            "for a moment there is no file under the name: you move or remove the old one first. "
            "rename puts the new one in its place by itself.",
            _steps("write n, sync n, remove N, rename n N"),
            _steps("write n, sync n, rename N o, rename n N"),
            _steps("write n, sync n, rename N o, rename n N, remove o"),
            _steps("rename N o, write N, sync N"),
            _steps("rename N o, write n, sync n, rename n N"),
            _steps("rename N o, write N, sync N, remove o"),
            _steps("write n, remove N, rename n N"),
            _steps("remove N, write n, sync n, rename n N"),
            _steps("remove N, write N, sync N"),
            _steps("rename N o, write N"),
            _steps("rename N o, write N, remove o"),
        ),
        (
            "a kill does no harm, but a power cut after the rename does: the name is on the "
            "platter, the content was not yet. sync the new file before you rename it.",
            _steps("write n, rename n N"),
            _steps("write n, rename n N, sync N"),
            _steps("write n, sync N, rename n N"),
            _steps("sync N, write n, rename n N"),
        ),
        (
            "the new file is written, but never gets the name.",
            _steps("write n"),
            _steps("write n, sync n"),
        ),
        ("you renamed the wrong way round.", _steps("write n, sync n, rename N n")),
        (
            "it is saved, but other files are left on the disk, with every save. remove them, or "
            "let rename take them along.",
            _steps("write n, sync n, write o, rename n N"),
            _steps("write o, write n, sync n, rename n N"),
        ),
    ),
    differs={
        "saved": "at the end {given}, and the new text should be under the name.",
        "killed": "killed there, nothing good is left: {given}.",
        "power cut": "{given}, once the power comes back.",
    },
    passed="the old file or the new one, whole, at every moment.",
)

seal(__name__)
