"""Train the runs that are too long for a chapter, and keep their numbers in data/recorded/.

    python tools/record.py NAME                 train what is missing, then write the recording
    python tools/record.py NAME --verify        retrain some runs and compare; where they agree,
                                                stamp the recording with the present code
    python tools/record.py list                 what there is, and what is stale
    python tools/record.py league --executor tcp://10.0.0.5:8786    on a Dask cluster

A unit (all peaks of one schedule and one seed) is one file in .recording/, written whole or not at
all, so a recording that was stopped goes on where it was. Units of other code, data or settings are
not used.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import io
import json
import os
import platform
import random
import re
import sys
import time
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from threading import Thread

import numpy as np
import torch

from lrlib.lab import recordings
from lrlib.lab.recordings import RECORDINGS, Recording
from lrlib.lab.sweep.processes import end_with

ROOT = Path(__file__).resolve().parent.parent
# The largest relative difference of a training loss that a retraining may show in its first steps.
# Later a run is chaotic: another processor's rounding gives another run of the same kind.
CLOSE = 1e-3
ALIKE = 4  # standard deviations over seeds that a metric may then differ by at the end

Unit = tuple[str, int]  # a schedule and a seed


def parts_folder(name: str, recording: Recording) -> Path:
    """Where finished runs lie: another folder for other code, data or settings."""
    made_by = [recording.configuration(), recordings.code_hash(recording)]
    made_by.append(recordings.data_hashes(recording))
    key = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:12]
    return ROOT / ".recording" / f"{name}-{key}"


def units(recording: Recording) -> list[Unit]:
    return [(shape, seed) for seed in range(recording.seeds) for shape in recording.shapes]


def part_path(folder: Path, unit: Unit) -> Path:
    shape, seed = unit
    words = re.sub(r"[^\w.]+", "-", shape.replace("%", "pc").replace("μ", "mu"), flags=re.ASCII)
    return folder / f"{words}.{seed}.npz"


def packed(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def train(
    name: str, unit: Unit, folder: Path | None, peaks: list[float] | None = None
) -> dict[str, np.ndarray]:
    """Train one unit, or some of its peaks; written to `folder`, if one is given."""
    torch.set_num_threads(1)
    recording, (shape, seed) = RECORDINGS[name], unit
    kept = recording.train(_task(name), shape, seed, peaks or recording.peaks[shape])
    if folder is not None:
        recordings.write(part_path(folder, unit), packed(kept))
    return kept


@lru_cache(1)
def _task(name: str):
    return RECORDINGS[name].made_task()


def read_part(path: Path) -> dict[str, np.ndarray] | None:
    """A finished run; None if there is none, or half of one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None


def workers(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, initializer=_begin)


def _begin() -> None:
    """A worker ends with its parent, also when that is killed."""
    Thread(target=end_with, args=(os.getppid(),), daemon=True).start()


def record(name: str, jobs: int) -> None:
    recording = RECORDINGS[name]
    folder = parts_folder(name, recording)
    code = recordings.code_hash(
        recording
    )  # of the code that is loaded now, whatever is edited meanwhile
    every = units(recording)
    missing = [unit for unit in every if read_part(part_path(folder, unit)) is None]
    print(f"{name}: {len(every)} units, {len(missing)} to train, {jobs} at a time", flush=True)
    began = time.monotonic()
    with workers(jobs) as pool:
        futures = {pool.submit(train, name, unit, folder): unit for unit in missing}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                left = (time.monotonic() - began) / done * (len(missing) - done)
                shape, seed = futures[future]
                print(
                    f"{done}/{len(missing)} {shape}, seed {seed}; about {left / 60:.0f} min left",
                    flush=True,
                )
        finally:
            pool.shutdown(cancel_futures=True)
    write_recording(name, {unit: read_part(part_path(folder, unit)) for unit in every}, code)


def write_recording(name: str, parts: dict[Unit, dict[str, np.ndarray]], code: str) -> None:
    """Put the units together: every array over (schedule, peak, seed, …)."""
    recording = RECORDINGS[name]
    keys = parts[units(recording)[0]].keys()
    arrays = {
        key: np.stack(
            [
                np.stack([parts[shape, seed][key] for seed in range(recording.seeds)], axis=1)
                for shape in recording.shapes
            ]
        )
        for key in keys
    }
    content = packed(arrays)
    about = {
        "configuration": recording.configuration(),
        "code": code,
        "data": recordings.data_hashes(recording),
        "made": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    recordings.write(recordings.folder() / f"{name}.npz", content)
    write_about(name, about)
    print(f"{name}: {len(content)} bytes in {recordings.folder().relative_to(ROOT)}/{name}.npz")


def write_about(name: str, about: dict[str, object]) -> None:
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    recordings.write(recordings.folder() / f"{name}.json", text.encode())


def machine() -> str:
    """The kind of machine, not which one."""
    return f"{platform.system()}, {platform.machine()}, {os.cpu_count()} CPU cores, no GPU used"


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def compare_run(
    kept: dict[str, np.ndarray], place: tuple[int, int, int], again: dict[str, np.ndarray]
) -> dict[str, float]:
    """How far a retrained run is from the recorded one at `place`: (schedule, peak, seed).

    "first": the largest relative difference of a training loss in the first steps; "final": the
    largest difference of a metric at the end, in its standard deviations over the seeds.
    """
    before, after = kept["first_losses"][place], again["first_losses"]
    before = before[: len(after)]
    apart = _apart(before, after) / np.fmax(np.abs(before), 1e-12)
    final = 0.0
    for key in kept.keys() - {"first_losses", "train_loss"}:
        others = kept[key][place[:2]][..., -1]  # of every seed
        spread = float(np.nanstd(others, ddof=1)) if np.isfinite(others).sum() > 1 else 0.0
        distance = float(_apart(kept[key][place][-1], again[key][-1]))
        final = max(final, distance / spread if spread else np.inf if distance else 0.0)
    return {"first": float(apart.max()), "final": final}


def _apart(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The absolute difference: none if both runs have diverged, infinite if only one has."""
    both = np.isnan(before) & np.isnan(after)
    return np.where(both, 0, np.nan_to_num(np.abs(after - before), nan=np.inf))


def verify(name: str, count: int, jobs: int) -> int:
    """Retrain `count` random runs; stamp the recording with the present code if they agree."""
    count = min(count, len(units(RECORDINGS[name])))
    recording, about = RECORDINGS[name], recordings.read_about(name)
    reasons = [r for r in recordings.staleness(recording, about) if "code" not in r]
    if reasons:
        print(f"{name}: {'; '.join(reasons)}: nothing to verify, train it again", file=sys.stderr)
        return 1
    result, code = recordings.load(name), recordings.code_hash(recording)
    chosen = random.sample(units(recording), count)
    places = [random.randrange(len(recording.peaks[shape])) for shape, _ in chosen]
    peaks = [[recording.peaks[shape][j]] for (shape, _), j in zip(chosen, places, strict=True)]
    with workers(jobs) as pool:
        trained = list(pool.map(train, [name] * count, chosen, [None] * count, peaks))
    worst = {"first": 0.0, "final": 0.0}
    for (shape, seed), j, again in zip(chosen, places, trained, strict=True):
        i, k = result.schedules.index(shape), result.seeds.index(seed)
        alone = {key: values[0] for key, values in again.items()}
        apart = compare_run(result.arrays(), (i, j, k), alone)
        print(f"{shape}, peak {recording.peaks[shape][j]:g}, seed {seed}: {apart}")
        worst = {key: max(worst[key], apart[key]) for key in worst}
    if not (worst["first"] <= CLOSE and worst["final"] <= ALIKE):
        print(f"{name}: the present code trains other runs; train it again", file=sys.stderr)
        return 1
    about["code"] = code
    about["verified"] = {
        "on": datetime.date.today().isoformat(),
        "runs": count,
        "largest difference": worst,
        "machine": machine(),
        "versions": versions(),
    }
    write_about(name, about)
    print(f"{name}: {count} runs agree; stamped with the present code")
    return 0


def show() -> int:
    stale = 0
    for name, recording in RECORDINGS.items():
        try:
            about = recordings.read_about(name)
        except (FileNotFoundError, ValueError) as error:
            print(f"{name}: {error}")
            stale += 1
            continue
        reasons = recordings.staleness(recording, about)
        stale += bool(reasons)
        print(
            f"{name}: made {about['made']}, {'STALE: ' + '; '.join(reasons) if reasons else 'ok'}"
        )
    return 1 if stale else 0


def main() -> int:
    import record_league  # which builds on this module

    from lrlib.lab.league import LEAGUES

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=[*RECORDINGS, *LEAGUES, "list"])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--executor", help="address of a Dask scheduler, for a league's units")
    parser.add_argument("--verify", action="store_true", help="retrain some runs and compare")
    parser.add_argument("--runs", type=int, default=8, help="how many, with --verify")
    arguments = parser.parse_args()
    if arguments.jobs < 1 or arguments.runs < 1:
        parser.error("--jobs and --runs must be at least 1")
    if arguments.executor and arguments.name not in LEAGUES:
        parser.error(f"--executor is for {', '.join(LEAGUES)}")
    if arguments.name == "list":
        return max(show(), *map(record_league.show, LEAGUES))
    if arguments.name in LEAGUES:
        given = arguments.name, arguments.jobs, arguments.executor
        if arguments.verify:
            return record_league.verify(given[0], arguments.runs, *given[1:])
        record_league.record_league(*given)
        return 0
    if arguments.verify:
        return verify(arguments.name, arguments.runs, arguments.jobs)
    record(arguments.name, arguments.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
