"""Several processes that train one model: what train.py needs of torch.distributed. With one process it does nothing.

NCCL between GPUs, Gloo between CPUs. A process that is lost makes the others fail within `LIMIT`, so that none trains
on alone: the run's next attempt goes on from the last checkpoint.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed, nn

import contract

LIMIT = timedelta(minutes=5)

T = TypeVar("T")


class Together:
    def __init__(self, nodes: contract.Nodes) -> None:
        self.nodes = nodes
        self.device = torch.device("cuda", nodes.local) if torch.cuda.is_available() else torch.device("cpu")
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if nodes.world > 1:  # env:// takes MASTER_ADDR and MASTER_PORT, and torchrun's own store if it is there.
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            distributed.init_process_group(backend, init_method="env://", rank=nodes.rank, world_size=nodes.world,
                                           timeout=LIMIT)

    def wrap(self, model: nn.Module) -> nn.Module:
        """A model whose gradients are the means over all processes after each backward pass."""
        if self.nodes.world == 1:
            return model
        return nn.parallel.DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)

    def share(self, size: int) -> tuple[slice, float]:
        """This process's rows of a batch, and what a sum over them is divided by.

        The mean over all processes of those quotients is the mean over the batch. Of a batch that is too small to be
        divided everybody takes all.
        """
        if size < self.nodes.world:
            return slice(None), size
        return slice(self.nodes.rank, None, self.nodes.world), size / self.nodes.world

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        if self.nodes.world > 1:
            distributed.all_reduce(value)
            value /= self.nodes.world
        return value

    def any(self, flag: bool) -> bool:
        """Whether it is true anywhere: the same answer everywhere."""
        if self.nodes.world == 1:
            return flag
        flags = torch.tensor(int(flag), device=self.device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def same(self, value: T) -> T:
        """The first process's value."""
        if self.nodes.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, device=self.device)
        return values[0]

    def close(self) -> None:
        if self.nodes.world > 1:
            distributed.destroy_process_group()
