"""Make the data files of this folder again, byte for byte, and list their checksums.

Needs the versions named in data/README.md: pip install 'lrlib[makers]'.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
from mnist1d.data import get_dataset_args, make_dataset
from sklearn.datasets import load_digits

HERE = Path(__file__).parent


def mnist1d() -> dict[str, np.ndarray]:
    """The package's default data set, and 1000 validation examples drawn with the next seed."""
    args = get_dataset_args()
    standard = make_dataset(args)
    args.seed += 1
    extra = make_dataset(args)
    return {
        "train_x": standard["x"].astype(np.float32),
        "train_y": standard["y"].astype(np.uint8),
        "val_x": extra["x_test"].astype(np.float32),
        "val_y": extra["y_test"].astype(np.uint8),
        "test_x": standard["x_test"].astype(np.float32),
        "test_y": standard["y_test"].astype(np.uint8),
    }


def digits() -> dict[str, np.ndarray]:
    """The 1797 digits in a fixed random order, cut into 1000, 397 and 400."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.uint8), y[order].astype(np.uint8)
    cuts = {"train": slice(0, 1000), "val": slice(1000, 1397), "test": slice(1397, None)}
    return {f"{k}_{n}": a[cut] for k, cut in cuts.items() for n, a in (("x", x), ("y", y))}


def write(name: str, arrays: dict[str, np.ndarray]) -> str:
    """Write an .npz whose bytes depend on its content alone (np.savez stores the time)."""
    path = HERE / f"{name}.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"


if __name__ == "__main__":
    lines = [write("digits", digits()), write("mnist1d", mnist1d())]
    (HERE / "SHA256SUMS").write_text("".join(lines))
