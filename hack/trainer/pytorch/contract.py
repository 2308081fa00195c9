"""The trainer's side of Lethe's trainer contract, version 1: files and environment variables only.

Standard library only; copy this file into a trainer of your own. The contract is described in ../README.md.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

VERSION = "1"
EXIT_STOPPED = 143  # 128 + SIGTERM

_CHECKPOINT = re.compile(r"checkpoint-(\d{8,})\.pt")


class ContractError(Exception):
    """The environment does not keep the contract."""


@dataclass(frozen=True)
class Places:
    """The paths a trainer works with."""

    dataset: Path  # read-only
    artifacts: Path  # published when the trainer exits 0
    checkpoints: Path  # outlives the process; what to go on from lies here at the start
    progress: Path  # one JSON object per line

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Places:
        problems = []
        if env.get("LETHE_CONTRACT_VERSION") != VERSION:
            problems.append(f"LETHE_CONTRACT_VERSION is not {VERSION}")
        names = ("LETHE_DATASET_DIR", "LETHE_ARTIFACTS_DIR", "LETHE_CHECKPOINT_DIR", "LETHE_PROGRESS_FILE")
        problems += [f"{name} is not set" for name in names if not env.get(name)]
        if problems:
            raise ContractError("; ".join(problems))
        return Places(*(Path(env[name]) for name in names))


@dataclass(frozen=True)
class Nodes:
    """Where this process stands among all processes of its run: what torch.distributed calls rank and world."""

    rank: int = 0
    world: int = 1
    local: int = 0  # index on its node, and of its GPU
    master: str = ""  # host:port of rank 0

    @property
    def first(self) -> bool:
        """Writes progress, checkpoints and artifacts."""
        return self.rank == 0

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Nodes:
        """torchrun's variables when it started us, otherwise one process for each node of the contract."""
        try:
            if "TORCHELASTIC_RUN_ID" in env:
                nodes = Nodes(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["LOCAL_RANK"]))
            else:
                nodes = Nodes(int(env.get("LETHE_NODE_INDEX") or 0), int(env.get("LETHE_NODE_COUNT") or 1))
            if nodes.world > 1:
                nodes = replace(nodes, master=f"{env['MASTER_ADDR']}:{int(env['MASTER_PORT'])}")
        except (KeyError, ValueError) as error:
            raise ContractError(f"the variables about nodes make no sense: {error}") from error
        if not 0 <= nodes.rank < nodes.world:
            raise ContractError(f"process {nodes.rank} of {nodes.world} makes no sense")
        return nodes


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a temporary file, flushes it to disk and renames it: readers see all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def append_progress(path: Path, *, epoch: int, epochs: int, step: int, total_steps: int,
                    metrics: Mapping[str, float], now: datetime | None = None) -> None:
    """Adds one line with a single write. Metrics that are not finite are left out: JSON has no word for them."""
    line = {
        "time": (now or datetime.now(timezone.utc)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "epoch": epoch,
        "epochs": epochs,
        "step": step,
        "totalSteps": total_steps,
        "percent": round(100 * step / total_steps, 1),
        "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
    }
    with path.open("ab", buffering=0) as file:
        file.write((json.dumps(line, separators=(",", ":")) + "\n").encode())


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:08d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, newest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _CHECKPOINT.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(_CHECKPOINT.fullmatch(path.name)[1]), reverse=True)


def set_aside(path: Path) -> None:
    """Renames a checkpoint that can't be used, so that it neither outranks the next ones nor is lost.

    The new name begins with a dot: every other name would be stored as the newest checkpoint.
    """
    path.rename(path.with_name(f".{path.name}.unreadable"))


def prune(folder: Path, keep: int) -> None:
    for path in checkpoints(folder)[keep:]:
        path.unlink(missing_ok=True)
