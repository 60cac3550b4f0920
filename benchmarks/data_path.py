"""Batches of training images a second, against the path of other toolkits, and the share of a step they take.

python benchmarks/data_path.py [--short] [--rounds 5] [--peer PYTHON] [--torchreid PATH]

Rendered pedestrians are written as JPEG files of Market-1501's size, 128 x 64, in its layout, and fed at
256 x 128 with mirroring, pad 10 and crop, normalisation and random erasing. Each path has one process and
one thread. `--peer` is a Python in which torchreid works, `--torchreid` its sources where it is not
installed: its ImageDataManager then reads the same files.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from side_by_side import Form, Measurement, Promise, compare, main, measurements_of
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

import autoreid.feed
from autoreid.data.augment import MEAN, STD
from autoreid.data.source import DataSource
from autoreid.errors import InputError
from autoreid.execution import Execution
from autoreid.feed import Batches, PreparedData, prepare
from autoreid.published import CDNET_SEARCH
from autoreid.recipes import Augmentation, Batch
from autoreid.searching import SearchRun
from autoreid.values import override

# Ours in the layout of the others, and in that in which networks are fastest.
CASE, HEIGHT, WIDTH = "data_path", 256, 128
BATCH = Batch(identities=16, images=4)
MARKET = "Market-1501-v15.09.15"
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
OURS, LAST = "autoreid, contiguous", "autoreid, channels_last"
OTHER, TORCHREID = "DataLoader", "torchreid"
# A step of a CPU's size: half of the paper's images, a quarter of its width.
SEARCHED = {"height": 128, "width": 64, "width_multiplier": 0.25, "batch": {"identities": 8, "images": 4}}
PEER = """
import json, sys, time, types, warnings
warnings.filterwarnings("ignore")
# What its engine imports, and its data does not need.
sys.modules["torch.utils.tensorboard"] = types.SimpleNamespace(SummaryWriter=None)
import torch
torch.set_num_threads(1)
from torchreid.data import ImageDataManager
root, count = sys.argv[1], int(sys.argv[2])
manager = ImageDataManager(
    root=root, sources="market1501", height=256, width=128, batch_size_train=64, workers=0, num_instances=4,
    transforms=["random_flip", "random_crop", "random_erase"], train_sampler="RandomIdentitySampler",
    use_gpu=False,
)
seen, taken = 0, 0.0
while seen < count:
    batches = iter(manager.train_loader)
    while True:
        begin = time.perf_counter()
        batch = next(batches, None)
        taken += time.perf_counter() - begin
        if batch is None:
            break
        seen += len(batch["img"])
print("figures", json.dumps({"images": seen, "seconds": taken}))
"""


def write_people(folder: Path) -> Path:
    """Rendered pedestrians as JPEG files in Market-1501's layout."""
    source = DataSource(set="rendered", identities=64, cameras=4, images=4, height=128, width=64)
    data = prepare(source, 128, 64, folder / "rendered")
    for split, name in FOLDERS.items():
        place = folder / "market1501" / MARKET / name
        place.mkdir(parents=True)
        for row in data.index.rows(split):
            identity, camera = data.index.identities[row], data.index.cameras[row]
            pixels = data.images[np.array([row])][0].transpose(1, 2, 0)
            file = f"{identity + 1:04d}_c{camera + 1}s1_{row:06d}_01.jpg"
            Image.fromarray(np.ascontiguousarray(pixels)).save(place / file, quality=90)
    return folder / "market1501" / MARKET


class Files(Dataset[tuple[Tensor, int]]):
    """Images as other toolkits read them: decoded, resized and augmented one by one, each time."""

    def __init__(self, data: PreparedData) -> None:
        index = data.index
        self.paths = [index.root / index.names[row] for row in data.train_rows]
        self.labels = data.labels
        self.transform = transforms.Compose(
            [
                transforms.Resize((HEIGHT, WIDTH)),
                transforms.RandomHorizontalFlip(),
                transforms.Pad(10),
                transforms.RandomCrop((HEIGHT, WIDTH)),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
                transforms.RandomErasing(),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[number]) as image:
            return self.transform(image.convert("RGB")), int(self.labels[number])


def feeds(data: PreparedData, batches: int) -> list[Form]:
    """The DataLoader and ours, each with the same images in the same batches."""
    build = functools.partial(
        Batches,
        data,
        np.arange(len(data.train_rows)),
        batch=BATCH,
        augmentation=Augmentation(),
        seed=0,
        device=torch.device("cpu"),
    )
    ours, last = build(layout=torch.contiguous_format), build(layout=torch.channels_last)
    chosen = [ours.chosen(step).tolist() for step in range(batches)]
    loader: DataLoader[Any] = DataLoader(Files(data), batch_sampler=chosen)

    def take(given: Iterator[Any]) -> None:
        for _ in given:
            pass

    return [
        Form(OTHER, lambda: take(iter(loader))),
        # Ten times as many: a batch of ours is done before a clock has ticked.
        Form(OURS, lambda: take(map(ours.batch, range(10 * batches)))),
        Form(LAST, lambda: take(map(last.batch, range(10 * batches)))),
    ]


def throughput(data: PreparedData, options: argparse.Namespace) -> list[Measurement]:
    batches = 1 if options.short else 4
    other, *ours = compare(feeds(data, batches), rounds=options.rounds)
    images = batches * BATCH.size
    rate = {"images_a_second": images / other.seconds}
    return [
        Measurement(CASE, OTHER, other.seconds, other.processor_seconds, extra=rate),
        *(
            Measurement(
                CASE,
                timing.name,
                timing.seconds / 10,
                timing.processor_seconds / 10,
                ratio=10 * timing.ratio,
                against=OTHER,
                extra={
                    "images_a_second": 10 * images / timing.seconds,
                    "processor_ratio": 10 * timing.processor_ratio,
                },
            )
            for timing in ours
        ),
    ]


def of_torchreid(root: Path, ours: float, options: argparse.Namespace) -> Measurement:
    """torchreid's figures on the same files, in a process of its Python."""
    command = [options.peer, "-c", PEER, str(root.parent.parent), "128" if options.short else "1024"]
    paths = [str(options.torchreid)] if options.torchreid else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    line = next(line for line in done.stdout.splitlines() if line.startswith("figures "))
    found = json.loads(line.removeprefix("figures "))
    rate = found["images"] / found["seconds"]
    extra = {"images_a_second": rate, "autoreid_is_times_as_fast": ours / rate}
    return Measurement(CASE, TORCHREID, BATCH.size / rate, extra=extra)


def timed_batches(run: SearchRun, seconds: list[float]) -> None:
    """Note how long a search waits for its batches."""

    def noted(batch: Callable[[int], Any]) -> Callable[[int], Any]:
        def take(step: int) -> Any:
            begin = time.perf_counter()
            found = batch(step)
            seconds.append(time.perf_counter() - begin)
            return found

        return take

    for feed in (run.train, run.held_out):
        feed.batch = noted(feed.batch)  # type: ignore[method-assign, assignment]


def advance(run: SearchRun, count: int, numbers: Iterator[int]) -> None:
    """The next steps of a search."""
    for _ in range(count):
        run._step(next(numbers))


def steps(data: PreparedData, options: argparse.Namespace) -> list[Measurement]:
    """Steps of a search with batches prepared before them, and meanwhile by a thread."""
    recipe = override(CDNET_SEARCH, SEARCHED)
    count = 1 if options.short else 4
    forms: list[Form] = []
    waits: dict[str, list[float]] = {}
    for name, prefetch in (("search steps", False), ("search steps, batches ahead", True)):
        execution = Execution(device=options.device, threads=options.threads, prefetch=prefetch)
        run = SearchRun(recipe, data, split_seed=0, search_seed=0, execution=execution)
        waits[name] = []
        timed_batches(run, waits[name])
        forms.append(Form(name, functools.partial(advance, run, count, iter(range(10**9)))))
    timings = compare(forms, rounds=options.rounds, device=options.device)
    calls = 2 * count * (options.rounds + 1)
    extra = {}
    for timing in timings:
        waited = sum(waits[timing.name][2 * count :]) / (calls - 2 * count) * 2 * count
        extra[timing.name] = {"share_of_waiting": waited / timing.seconds}
    return measurements_of(CASE, timings, extra)


def measure(options: argparse.Namespace) -> list[Measurement]:
    if options.peer and shutil.which(options.peer) is None:
        raise InputError(f"--peer: no program {options.peer!r}. Give a Python in which torchreid works.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        root = write_people(folder)
        source = DataSource(set="market1501", root=str(root))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        found = throughput(prepare(source, HEIGHT, WIDTH, folder), options)
        if options.peer:
            found.append(of_torchreid(root, float(found[1].extra["images_a_second"]), options))
        torch.set_num_threads(threads)
        # Here a thread prepares batches on every device, to see what it does.
        autoreid.feed.PREFETCHED = ("cpu", "cuda")  # type: ignore[assignment]
        return found + steps(prepare(source, 128, 64, folder), options)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer", metavar="PYTHON", help="a Python in which torchreid works")
    parser.add_argument("--torchreid", type=Path, metavar="PATH", help="torchreid's sources, if need be")


PROMISES = (
    Promise(OURS, least=10),
    Promise("search steps", "share_of_waiting", most=0.05, device="cpu"),
    Promise("search steps, batches ahead", "share_of_waiting", most=0.05, device="cuda"),
)

if __name__ == "__main__":
    raise SystemExit(main(CASE, measure, configure, promises=PROMISES, summary=__doc__))
