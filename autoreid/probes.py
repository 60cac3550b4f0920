"""Checks of a machine, a storage and data for `autoreid doctor`. Those that need torch load it."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoreid.data.disk import default_cache
from autoreid.diagnosis import Finding
from autoreid.errors import AutoreidError, InputError
from autoreid.folders import Folder, LocalFolder, amount, existing, open_folder
from autoreid.storage import Storage
from autoreid.words import counted

GIB = 2**30
# Less free space than this ends in an error before long, or soon.
NO_SPACE, LITTLE_SPACE = GIB // 2, 5 * GIB
LITTLE_SHARED_MEMORY = GIB
FEW_FILES = 1024
# Leases compare clocks and hold for two minutes.
CLOCK_SECONDS = 30.0
ANSWER_SECONDS = 5.0
REINSTALL = "Install torch anew for this machine: https://pytorch.org/get-started/locally"


def check_processor() -> Iterator[Finding]:
    """CPUs that this process may use, and the threads that torch takes."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, threads = cpu_quota(), 0
    try:
        import torch  # deferred: heavy, and perhaps broken

        from autoreid.facts import processor_name

        threads = torch.get_num_threads()
        yield Finding("processor", f"{processor_name()}, CPUs: {cpus}, threads of torch: {threads}")
    except Exception:  # the check of GPUs says why
        yield Finding("processor", f"{platform.processor() or platform.machine()}, CPUs: {cpus}")
    if quota is not None and quota < cpus:
        yield Finding(
            "processor",
            f"{cpus} CPUs are seen, but this container may use {quota:g}: as many jobs as CPUs are too many",
            "note",
            f"Give a campaign --max-parallel {max(1, int(quota))}, or the container its CPUs by number.",
        )
    elif threads > cpus:
        remedy = f"Set OMP_NUM_THREADS to {cpus} or less, or give --threads."
        yield Finding("processor", f"{threads} threads share {counted(cpus, 'CPU')}", "note", remedy)


def cpu_quota(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """How many CPUs a container may use at once, by its control group; None where nothing limits it."""
    try:
        most, period = limit.read_text().split()
        return int(most) / int(period)
    except (OSError, ValueError):
        return None


def check_memory() -> Iterator[Finding]:
    """Memory of the machine, and the shared memory that Ray keeps its objects in."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        yield Finding("memory", f"{amount(total)}, {amount(free)} available")
    except (OSError, KeyError, ValueError):
        yield Finding("memory", "the system does not tell")
    shared = Path("/dev/shm")
    if shared.is_dir():
        usage = shutil.disk_usage(shared)
        words = f"/dev/shm: {amount(usage.free)} free of {amount(usage.total)}"
        if usage.free < LITTLE_SHARED_MEMORY:
            remedy = "Ray goes on in the temporary folder, slower. In a container: docker run --shm-size=2g."
            yield Finding("memory", words, "note", remedy)
        else:
            yield Finding("memory", words)


def check_gpus() -> Iterator[Finding]:
    """The GPUs that torch sees, and whether they compute."""
    try:
        import torch  # deferred: heavy, and perhaps broken
    except Exception as error:  # a library that is missing or does not fit
        words = f"torch cannot be loaded: {type(error).__name__}: {error}"
        yield Finding("gpus", words, "broken", REINSTALL)
        return
    built = f"torch for CUDA {torch.version.cuda}" if torch.version.cuda else "torch without CUDA"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        yield _no_gpu(built)
    for number in range(count):
        yield _gpu(torch, number, built)


def _no_gpu(built: str) -> Finding:
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        words = f"none seen: CUDA_VISIBLE_DEVICES is set and may hide them ({built})"
        return Finding("gpus", words, "note", "Unset it to see all GPUs of the machine.")
    if Path("/dev/nvidia0").exists():
        words = f"the system has an NVIDIA GPU, but {built} does not see it"
        return Finding("gpus", words, "broken", f"Update the driver, or: {REINSTALL}")
    return Finding("gpus", f"none ({built})")


def _gpu(torch: Any, number: int, built: str) -> Finding:
    device = torch.device("cuda", number)
    try:
        free, total = torch.cuda.mem_get_info(device)
        known = torch.cuda.get_device_properties(device)
        words = (
            f"{number}: {known.name}, compute {known.major}.{known.minor}, {amount(free)} free of "
            f"{amount(total)}, {built}"
        )
        ones = torch.ones(64, 64, device=device)
        if float((ones @ ones).sum()) != 64.0**3:
            return Finding("gpus", f"{words}; it computes wrongly", "broken", "Leave this GPU out.")
        return Finding("gpus", words)
    except Exception as error:  # of the driver, of CUDA, of a GPU that is too old or full
        words = f"{number}: does not compute: {type(error).__name__}: {error}"
        return Finding("gpus", words, "broken", f"Look at nvidia-smi: it may be full. Else: {REINSTALL}")


def check_disks() -> Iterator[Finding]:
    """Free space for decoded images and for Ray's files, and whether both can be written."""
    cache = default_cache()
    yield disk(f"decoded images, {cache}", cache, "Set AUTOREID_CACHE to a folder of a local disk.")
    temporary = Path(tempfile.gettempdir())
    yield disk(f"temporary files, {temporary}", temporary, "Set TMPDIR to another folder.")


def disk(words: str, folder: Path, remedy: str) -> Finding:
    """Whether a folder, or the one in which it will be made, can be written and has space."""
    there = existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("disk", f"{words}: cannot be written", "broken", remedy)
    free = shutil.disk_usage(there).free
    words = f"{words}: {amount(free)} free"
    if free < LITTLE_SPACE:
        return Finding("disk", words, "broken" if free < NO_SPACE else "note", f"Free space. {remedy}")
    return Finding("disk", words)


def check_loopback() -> Iterator[Finding]:
    """Whether processes of this machine reach each other as those of Ray do, and may open enough files."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as asking:
                answering, _ = server.accept()
                with answering:
                    answering.sendall(b"well")
                    asking.settimeout(ANSWER_SECONDS)
                    said = asking.recv(4)
        if said != b"well":
            raise OSError(f"{said!r} came back")
        yield Finding("loopback", "a port of 127.0.0.1 was opened and reached")
    except OSError as error:
        remedy = "Campaigns need it: allow connections from 127.0.0.1 to itself in the firewall or sandbox."
        words = f"127.0.0.1 cannot be used: {error.strerror or error}"
        yield Finding("loopback", words, "broken", remedy)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < FEW_FILES:
        words = f"a process may open {files} files; Ray opens many"
        yield Finding("loopback", words, "note", f"Run: ulimit -n {4 * FEW_FILES}")


def check_storage(where: str) -> Iterator[Finding]:
    """Whether a storage can be written, replaces files as wholes, lists them, and agrees about the time."""
    try:
        folder = open_folder(where)
        Storage(folder).check()
        place = folder
        if isinstance(folder, LocalFolder) and not folder.root.exists():
            place = LocalFolder(existing(folder.root))  # the storage itself is not made
        yield from _probed(folder, place)
    except (AutoreidError, OSError) as error:
        yield Finding("storage", str(error), "broken", "Mend it, or give another --storage.")
        return
    if isinstance(folder, LocalFolder):
        yield disk(f"storage, {folder}", folder.root, "Or give another --storage.")


def _probed(folder: Folder, place: Folder) -> Iterator[Finding]:
    # In a folder of its own: a storage may hold very many files, and listing takes all of a folder.
    below = f"doctor-{uuid.uuid4().hex}"
    name = f"{below}/probe"
    try:
        wrong = _misbehaviour(place, name)
        files = place.files(below)
        skew = files[name].changed - time.time() if name in files else 0.0
    finally:
        place.remove(name)
    if not wrong and name in place.files(below):
        wrong = "a file that was removed is still listed"
    if wrong:
        yield Finding("storage", f"{folder}: {wrong}", "broken", "Use a local disk, NFS, or an object store.")
        return
    new = "" if place is folder else " (will be made)"
    yield Finding("storage", f"{folder}{new}: writes, replaces, lists and removes files")
    if abs(skew) > CLOCK_SECONDS:
        words = f"its clock is {skew:+.0f} s from this machine's: who works on a job may be misjudged"
        yield Finding("storage", words, "note", "Set both clocks by NTP.")


def _misbehaviour(place: Folder, name: str) -> str:
    """What a folder does wrong with a file that is replaced while it is read; empty where nothing."""
    old, new = b"old" * 1000, b"the new content" * 1000
    place.write(name, old)
    if isinstance(place, LocalFolder):
        with (place.root / name).open("rb") as reader:
            first = reader.read(10)
            place.write(name, new)
            if first + reader.read() != old:
                return "a file that is replaced changes under who reads it"
    else:
        place.write(name, new)
    if place.read(name) != new:
        return "a file that was replaced gives other bytes than were written"
    return "" if place.sizes(name) == {name: len(new)} else "a file that was written is not listed as it is"


def check_data(given: str) -> Iterator[Finding]:
    """Whether a data set can be read: `SET:DIR`, `DIR` with a set that is found by looking, or `rendered`."""
    from autoreid.data.arrays import read_image, reason
    from autoreid.data.index import SPLITS
    from autoreid.data.sets import find_set
    from autoreid.data.source import RENDERED, DataSource, known_sets, open_index

    name, colon, folder = given.partition(":")
    remedy = "'autoreid data check DIR' lists every defect."
    try:
        if not colon or name not in known_sets():
            name, folder = (RENDERED, "") if given == RENDERED else (find_set(Path(given)), given)
        index = open_index(DataSource.from_plain({"set": name} | ({"root": folder} if folder else {})))
    except InputError as error:
        yield Finding("data", f"{given}: {' '.join(error.problems)}", "broken", remedy)
        return
    rows = {split: index.rows(split) for split in SPLITS}
    for path in (index.root / index.names[found[0]] for found in rows.values() if len(found)):
        try:
            read_image(path)
        except Exception as error:  # Pillow raises many kinds
            yield Finding("data", f"{path}: cannot be read: {reason(error)}", "broken", remedy)
            return
    words = ", ".join(f"{len(found)} {split}" for split, found in rows.items())
    yield Finding("data", f"{name}, {index.root}: {words} images; the first of each was read")
