"""Tests of what needs no torch: python3 -m unittest discover -s hack/trainer/pytorch -p 'test_*.py'."""

import gzip
import json
import math
import struct
import tempfile
import unittest
from datetime import datetime, timezone
from pathlib import Path

import contract
import idx

SHIPPED = Path(__file__).resolve().parent.parent / "digits" / "data"


class Folder(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.dir = Path(made.name)


class IdxTest(Folder):
    def shard(self, number, images, labels):
        (self.dir / "train").mkdir(exist_ok=True)
        (self.dir / "train" / f"images-{number:02d}.idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (self.dir / "train" / f"labels-{number:02d}.idx1-ubyte.gz").write_bytes(gzip.compress(labels))

    def test_shipped_splits_have_the_promised_rows(self):
        for split, rows in (("train", 6000), ("heldout", 1000)):
            got = idx.load(SHIPPED, split)
            self.assertEqual((len(got), got.rows, got.cols, len(got.pixels)), (rows, 14, 14, rows * 196))

    def test_shards_are_joined_in_order(self):
        self.shard(1, struct.pack(">4I2B", idx.IMAGES_MAGIC, 1, 1, 2, 3, 4), struct.pack(">2IB", idx.LABELS_MAGIC, 1, 8))
        self.shard(0, struct.pack(">4I2B", idx.IMAGES_MAGIC, 1, 1, 2, 1, 2), struct.pack(">2IB", idx.LABELS_MAGIC, 1, 7))
        self.assertEqual(idx.load(self.dir, "train"), idx.Split(1, 2, b"\1\2\3\4", b"\7\10"))

    def test_damage_is_refused(self):
        image = struct.pack(">4I2B", idx.IMAGES_MAGIC, 1, 1, 2, 1, 2)
        label = struct.pack(">2IB", idx.LABELS_MAGIC, 1, 7)
        for what, images, labels in (
            ("too few pixels", image[:-1], label),
            ("two labels for one image", image, struct.pack(">2I2B", idx.LABELS_MAGIC, 2, 7, 7)),
            ("a label that is no digit", image, struct.pack(">2IB", idx.LABELS_MAGIC, 1, 10)),
            ("labels where images belong", label, label),
            ("no content", b"", label),
        ):
            with self.subTest(what):
                self.shard(0, images, labels)
                self.assertRaises(idx.FormatError, idx.load, self.dir, "train")

    def test_no_rows_and_no_gzip_are_refused(self):
        self.assertRaises(idx.FormatError, idx.load, self.dir, "train")
        self.shard(0, b"", b"")
        (self.dir / "train" / "images-00.idx3-ubyte.gz").write_bytes(b"plain")
        self.assertRaises(idx.FormatError, idx.load, self.dir, "train")


class ContractTest(Folder):
    ENV = {"LETHE_CONTRACT_VERSION": "1", "LETHE_DATASET_DIR": "/d", "LETHE_ARTIFACTS_DIR": "/a",
           "LETHE_CHECKPOINT_DIR": "/a/c", "LETHE_PROGRESS_FILE": "/p"}

    def test_environment(self):
        want = contract.Places(Path("/d"), Path("/a"), Path("/a/c"), Path("/p"))
        self.assertEqual(contract.Places.from_environment(self.ENV), want)

    def test_every_problem_is_named(self):
        with self.assertRaises(contract.ContractError) as caught:
            contract.Places.from_environment({"LETHE_CONTRACT_VERSION": "2", "LETHE_DATASET_DIR": "/d"})
        for name in self.ENV.keys() - {"LETHE_DATASET_DIR"}:
            self.assertIn(name, str(caught.exception))

    def test_nodes(self):
        second = {"LETHE_NODE_COUNT": "2", "LETHE_NODE_INDEX": "1", "MASTER_ADDR": "run-0.lethe-run.team.svc",
                  "MASTER_PORT": "29500"}
        torchrun = second | {"TORCHELASTIC_RUN_ID": "none", "RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}
        master = "run-0.lethe-run.team.svc:29500"
        for what, env, want in (
            ("nothing is set", {}, contract.Nodes()),
            ("the second of two", second, contract.Nodes(1, 2, 0, master)),
            ("under torchrun", torchrun, contract.Nodes(5, 8, 1, master)),
        ):
            with self.subTest(what):
                self.assertEqual(contract.Nodes.from_environment(env), want)
        self.assertTrue(contract.Nodes().first)
        self.assertFalse(contract.Nodes(1, 2).first)
        for what, change in (("no address", {"MASTER_ADDR": None}), ("no port", {"MASTER_PORT": "x"}),
                             ("no such node", {"LETHE_NODE_INDEX": "2"})):
            env = {name: value for name, value in (second | change).items() if value is not None}
            with self.subTest(what):
                self.assertRaises(contract.ContractError, contract.Nodes.from_environment, env)

    def test_progress_is_one_object_per_line(self):
        path = self.dir / "progress.jsonl"
        now = datetime(2026, 1, 2, 3, 4, 5, 600_000, timezone.utc)
        for step in (1, 2):
            contract.append_progress(path, epoch=1, epochs=3, step=step, total_steps=3, now=now,
                                     metrics={"loss": 0.5, "accuracy": math.nan})
        lines = path.read_text().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual(json.loads(lines[1]), {
            "time": "2026-01-02T03:04:05.600Z", "epoch": 1, "epochs": 3, "step": 2, "totalSteps": 3,
            "percent": 66.7, "metrics": {"loss": 0.5}})

    def test_checkpoints_newest_first_and_pruned(self):
        for name in ("checkpoint-00000900.pt", "checkpoint-00001000.pt", "checkpoint-00000020.pt",
                     ".checkpoint-00002000.pt.tmp", "checkpoint-x.pt"):
            (self.dir / name).touch()
        want = [contract.checkpoint_path(self.dir, step) for step in (1000, 900, 20)]
        self.assertEqual(contract.checkpoints(self.dir), want)
        contract.prune(self.dir, 1)
        self.assertEqual(contract.checkpoints(self.dir), want[:1])
        self.assertEqual(contract.checkpoints(self.dir / "absent"), [])
        contract.set_aside(want[0])
        self.assertEqual(contract.checkpoints(self.dir), [])
        self.assertTrue((self.dir / ".checkpoint-00001000.pt.unreadable").exists())

    def test_write_replaces_or_leaves_the_old_file(self):
        path = self.dir / "made" / "model.json"
        contract.write_text(path, "first")
        contract.write_text(path, "second")

        def fail(_):
            raise OSError("no space left")

        self.assertRaises(OSError, contract.write_atomically, path, fail)
        self.assertEqual(path.read_text(), "second")
        self.assertEqual([found.name for found in path.parent.iterdir()], ["model.json"])


if __name__ == "__main__":
    unittest.main()
