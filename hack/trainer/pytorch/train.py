"""Learns to read handwritten digits with PyTorch, on a GPU when there is one, under the trainer contract.

The same data, network and model file as the Go trainer beside it (../digits), so `digits evaluate` judges both:

    pip install -r requirements.txt
    python train.py --epochs 40

On several nodes, or GPUs, the same under torchrun, whose settings the contract has put into the environment; the
processes share the rows of every batch, and the first of them writes:

    torchrun train.py

Mixed precision (bfloat16) where the GPU has it. After SIGTERM it writes a checkpoint and exits 143; the next
start goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import contract
import idx
from together import Together

MODEL_FORMAT = "lethe-digits-mlp/1"
REACH = 0.6  # pixels an image is moved by at most while training


class Stopped(Exception):
    """SIGTERM came, and a checkpoint was written."""


def options() -> argparse.Namespace:
    def default(name: str, value: str) -> str:
        return os.environ.get(f"DIGITS_{name}", value)

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=default("EPOCHS", "40"))
    parser.add_argument("--hidden", type=int, default=default("HIDDEN", "512"))
    parser.add_argument("--batch", type=int, default=default("BATCH", "64"))
    parser.add_argument("--learning-rate", type=float, default=default("LEARNING_RATE", "0.003"))
    parser.add_argument("--seed", type=int, default=default("SEED", "1"))
    parser.add_argument("--checkpoint-every", type=int, default=default("CHECKPOINT_EVERY", "5"))
    parser.add_argument("--keep-checkpoints", type=int, default=default("KEEP_CHECKPOINTS", "2"))
    parsed = parser.parse_args()
    for name in ("epochs", "hidden", "batch", "learning_rate", "checkpoint_every", "keep_checkpoints"):
        if getattr(parsed, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0")
    return parsed


class Trainer:
    def __init__(self, chosen: argparse.Namespace, places: contract.Places, together: Together) -> None:
        self.chosen, self.places, self.together = chosen, places, together
        self.device, self.first = together.device, together.nodes.first
        self.mixed = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.should_stop = False

        split = idx.load(places.dataset, "train")
        self.rows, self.cols = split.rows, split.cols
        pixels = torch.frombuffer(bytearray(split.pixels), dtype=torch.uint8).view(-1, 1, self.rows, self.cols)
        images = (pixels.float() / 255).to(self.device)
        labels = torch.frombuffer(bytearray(split.labels), dtype=torch.uint8).long().to(self.device)
        # A tenth is set aside to check on; held-out rows are not read here.
        order = torch.randperm(len(split), generator=self.random(0)).to(self.device)
        aside = max(1, len(split) // 10)
        self.images, self.labels = images[order[aside:]], labels[order[aside:]]
        self.check_images, self.check_labels = images[order[:aside]], labels[order[:aside]]
        if len(self.labels) == 0:
            raise idx.FormatError("too few rows to train")

        torch.manual_seed(chosen.seed)
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(self.rows * self.cols, chosen.hidden), nn.ReLU(),
            nn.Linear(chosen.hidden, idx.CLASSES),
        ).to(self.device)
        self.shared = together.wrap(self.model)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=chosen.learning_rate)
        self.batches = -(-len(self.labels) // chosen.batch)
        self.total_steps = self.batches * chosen.epochs
        self.step = 0
        self.history: list[dict[str, float]] = []

    def random(self, index: int) -> torch.Generator:
        """A generator that depends on the seed and an index only, so that a resumed run draws the same."""
        return torch.Generator().manual_seed(self.chosen.seed * 1_000_003 + index)

    def run(self) -> None:
        what = torch.cuda.get_device_name() if self.device.type == "cuda" else "the CPU"
        if self.together.nodes.world > 1:
            say(f"process {self.together.nodes.rank} of {self.together.nodes.world}")
        say(f"learning from {len(self.labels)} images of {self.cols}x{self.rows} pixels on {what}"
            f"{' in bfloat16' if self.mixed else ''}, checking on {len(self.check_labels)} others")
        self.resume()
        first, start = self.step, time.monotonic()
        while self.step < self.total_steps:
            loss = self.epoch()
            epoch, accuracy = self.step // self.batches, self.accuracy()
            self.history.append({"epoch": epoch, "loss": loss, "accuracy": accuracy})
            left = (time.monotonic() - start) / (self.step - first) * (self.total_steps - self.step)
            say(f"epoch {epoch:{len(str(self.chosen.epochs))}}/{self.chosen.epochs} {bar(epoch, self.chosen.epochs)}"
                f"  loss {loss:.4f}  accuracy {100 * accuracy:5.1f} %  about {left:.0f} s left")
            self.report(epoch, loss=loss, accuracy=accuracy)
            if epoch % self.chosen.checkpoint_every == 0:
                self.save()
        if self.first:
            self.publish()

    def epoch(self) -> float:
        """Runs one epoch, or what is left of it after a resume, and returns the mean loss."""
        number = self.step // self.batches
        order = torch.randperm(len(self.labels), generator=self.random(1 + number)).to(self.device)
        losses, reported = [], time.monotonic()
        for batch in order.split(self.chosen.batch)[self.step % self.batches:]:
            if self.together.any(self.should_stop):  # all stop at the same step
                self.save()
                raise Stopped
            losses.append(self.train(batch))
            if time.monotonic() - reported >= 1 and self.step % self.batches:
                self.report(number + 1, loss=losses[-1].item())
                reported = time.monotonic()
        loss = self.together.mean(torch.stack(losses).mean()).item()
        if loss != loss:
            raise ArithmeticError("the loss is not a number any more; use a lower learning rate")
        return loss

    def train(self, batch: torch.Tensor) -> torch.Tensor:
        """Makes one step and returns this process's part of the loss; the mean of all parts is the loss."""
        rows, divisor = self.together.share(len(batch))
        self.shared.train()
        for group in self.optimiser.param_groups:  # falls in a straight line to a twentieth
            group["lr"] = self.chosen.learning_rate * (1 - 0.95 * self.step / self.total_steps)
        images = self.jitter(self.images[batch])[rows]
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed):
            loss = functional.cross_entropy(self.shared(images), self.labels[batch][rows], reduction="sum") / divisor
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        return loss.detach().float()

    def jitter(self, images: torch.Tensor) -> torch.Tensor:
        """Moves each image by up to REACH pixels: a digit is the same digit a little to the left."""
        amount = torch.rand(len(images), 2, generator=self.random(1_000_000 + self.step)) * 2 - 1
        amount = (amount * REACH * 2 / torch.tensor([self.cols, self.rows])).to(self.device)
        moves = torch.eye(2, 3, device=self.device).repeat(len(images), 1, 1)
        moves[:, :, 2] = amount
        grid = functional.affine_grid(moves, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, align_corners=False)

    @torch.no_grad()
    def accuracy(self) -> float:
        self.model.eval()
        return (self.model(self.check_images).argmax(1) == self.check_labels).float().mean().item()

    def report(self, epoch: int, **metrics: float) -> None:
        if not self.first:
            return
        contract.append_progress(self.places.progress, epoch=epoch, epochs=self.chosen.epochs, step=self.step,
                                 total_steps=self.total_steps, metrics=metrics)

    def settings(self) -> dict[str, float]:
        """What a checkpoint must agree in to be gone on from; more epochs may be asked for."""
        names = ("hidden", "batch", "learning_rate", "seed")
        return {name: getattr(self.chosen, name) for name in names} | {"rows": len(self.labels)}

    def save(self) -> None:
        if not self.first:
            return
        state = {"step": self.step, "history": self.history, "settings": self.settings(),
                 "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        path = contract.checkpoint_path(self.places.checkpoints, self.step)
        contract.write_atomically(path, lambda temporary: torch.save(state, temporary))
        contract.prune(self.places.checkpoints, self.chosen.keep_checkpoints)

    def resume(self) -> None:
        """Goes on from the checkpoint that the first process chooses, so that all are at the same step."""
        found = self.newest() if self.first else None
        name = self.together.same(found[0] if found else None)
        if name is None:
            return
        path = self.places.checkpoints / name
        if found is None and not path.exists():
            raise contract.ContractError(f"{name} is on the first node and not here: all nodes must start with the same")
        state = found[1] if found else self.load(path)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.history = state["step"], state["history"]
        say(f"going on from {name}")

    def newest(self) -> tuple[str, dict] | None:
        """The newest checkpoint that can be read; damaged ones are set aside."""
        for path in contract.checkpoints(self.places.checkpoints):
            try:
                state = self.load(path)
            except Exception as error:  # torch.load raises many kinds for a damaged file
                say(f"{path.name} cannot be read ({type(error).__name__}); trying an older one")
                contract.set_aside(path)
                continue
            if state["settings"] != self.settings():
                raise contract.ContractError(f"{path.name} belongs to another training: "
                                             "empty the checkpoint folder or use the earlier settings")
            return path.name, state
        return None

    def load(self, path: Path) -> dict:
        return torch.load(path, map_location=self.device, weights_only=True)

    def publish(self) -> None:
        """Writes the artifacts: a model file that `digits evaluate` reads, the weights for PyTorch, the metrics."""
        contract.write_text(self.places.artifacts / "model.json", json.dumps(self.model_file()))
        contract.write_atomically(self.places.artifacts / "model.pt",
                                  lambda temporary: torch.save(self.model.state_dict(), temporary))
        last = self.history[-1]
        contract.write_text(self.places.artifacts / "metrics.json", json.dumps({
            "epochs": last["epoch"], "steps": self.step, "loss": last["loss"], "accuracy": last["accuracy"],
            "device": str(self.device), "settings": self.settings(), "history": self.history,
        }, indent=2) + "\n")
        say("done: model.json, model.pt and metrics.json are ready")

    def model_file(self) -> dict:
        """Linear keeps one row per output; the model file keeps one row per input, hence the transpose."""
        hidden, output = self.model[1], self.model[3]

        def flat(weights: torch.Tensor) -> list[float]:
            return weights.detach().float().cpu().flatten().tolist()

        return {"format": MODEL_FORMAT, "rows": self.rows, "cols": self.cols,
                "inputs": hidden.in_features, "hidden": hidden.out_features, "classes": output.out_features,
                "w1": flat(hidden.weight.t()), "b1": flat(hidden.bias),
                "w2": flat(output.weight.t()), "b2": flat(output.bias)}


def bar(done: int, total: int, width: int = 24) -> str:
    filled = min(width, width * done // total)
    return f"[{'#' * filled}{'.' * (width - filled)}]"


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    try:
        chosen, places = options(), contract.Places.from_environment(os.environ)
        together = Together(contract.Nodes.from_environment(os.environ))
        trainer = Trainer(chosen, places, together)

        def stop(*_: object) -> None:
            trainer.should_stop = True

        signal.signal(signal.SIGTERM, stop)
        trainer.run()
        together.close()
    except Stopped:
        say("asked to stop: wrote a checkpoint" if trainer.first else "asked to stop")
        return contract.EXIT_STOPPED
    except (contract.ContractError, idx.FormatError, ArithmeticError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    except RuntimeError:  # a process that is lost is one of many causes; torch's own words follow
        if os.environ.get("WORLD_SIZE", os.environ.get("LETHE_NODE_COUNT", "1")) != "1":
            print("train.py: if another process was lost, the run's next attempt goes on from the last checkpoint",
                  file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
