"""A small campaign run by the real command, to be disturbed: processes, storages that refuse, comparisons."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoreid.records import measured
from autoreid.snapshots import from_bytes
from autoreid.storage import Storage

AUTOREID = str(Path(sys.executable).parent / "autoreid")
CAMPAIGN = """\
name: disturbed
data: {set: rendered, identities: 16, cameras: 3, images: 4, height: 64, width: 32}
repeats: 1
search:
  {recipe: cdnet, height: 64, width: 32, width_multiplier: 0.25, batch: {identities: 4, images: 2}, epochs: 4}
train:
  {recipe: cdnet, height: 64, width: 32, width_multiplier: 0.25, batch: {identities: 4, images: 2}, epochs: 5,
   optimizer: {learning_rate: 0.01, schedule: {milestones: [4]}}}
execution: {max_parallel: 2, threads: 1}
arms:
  found: {search: {space: cds-v1}}
  published: {genotype: cdnet-top2}
"""
JOBS = 3
TIMES = ("search_seconds", "milliseconds_per_image", "train_seconds", "evaluation_seconds")
# No wait of a test is longer; an undisturbed campaign takes half a minute on a busy machine.
PATIENCE_SECONDS = 240.0


@dataclass
class Run:
    """The command in a process group of its own; its progress is read as it comes."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def wait_for(self, seen: Callable[[str], bool]) -> str:
        """The first line of progress from here on that is `seen`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if seen(line):
                return line
        raise AssertionError(f"ended before it was seen: {self.lines}, {self.process.communicate()}")

    def end(self, code: int | None = None) -> dict[str, Any]:
        """Wait for the end, and give the answer; `code` is the exit code that is expected."""
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        self.lines += err.splitlines()
        if code is not None:
            assert self.process.returncode == code, (self.process.returncode, self.lines)
        assert "Traceback" not in "".join(self.lines), self.lines
        answer: dict[str, Any] = json.loads(out) if out else {}
        return answer

    def kill(self, whole_group: bool = False) -> None:
        """SIGKILL, to the process alone or to its whole group."""
        (os.killpg if whole_group else os.kill)(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=PATIENCE_SECONDS)


def start(folder: Path, *flags: str, storage: Path | str | None = None, **environment: str) -> Run:
    """Start the campaign on `folder/storage`, or on another storage, which may be an address."""
    file = folder / "disturbed.yaml"
    file.write_text(CAMPAIGN)
    command = [AUTOREID, "campaign", "run", str(file), "--storage", str(storage or folder / "storage")]
    process = subprocess.Popen(
        [*command, "--json", *flags],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return Run(process)


def autoreid(*arguments: str) -> dict[str, Any]:
    """The JSON answer of a command that succeeds."""
    done = subprocess.run([AUTOREID, *arguments, "--json"], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def workers(storage: Storage) -> list[int]:
    """Numbers of the processes that hold jobs of a storage at this moment."""
    leases = [storage.job(job).holder() for job in storage.jobs()]
    return [lease.pid for lease in leases if lease is not None]


def living_in_session(session: int) -> list[str]:
    """Numbers of the processes of a session that are no zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, number = entry.read_text().rpartition(")")[2].split()[:4]
            found += [entry.parent.name] if int(number) == session and state not in "ZX" else []
    return found


def wait_until(condition: Callable[[], object], every: float = 0.02) -> None:
    """Ask again and again, `every` so many seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every)


def attempts(storage: Storage) -> dict[str, list[str]]:
    """The names of all attempts by job."""
    return {job: [attempt.name for attempt in storage.job(job).attempts()] for job in storage.jobs()}


def contents(storage: Storage) -> dict[str, Any]:
    """What the attempts that count say, without what a clock gave: results, weights and records."""
    found = {}
    for job in storage.jobs():
        finished = storage.job(job).finished()
        assert finished is not None, job
        attempt, outcome = finished
        rows = [{key: row[key] for key in row if key not in measured("epochs")} for row in attempt.records()]
        result = {key: value for key, value in outcome.result.items() if key not in TIMES}
        names = [name for name in outcome.files if name.endswith((".pt", "genotype.json"))]
        files = {name: attempt.vouched(name, outcome) for name in names}
        tensors = {n: _digest(from_bytes(data, n)) for n, data in files.items() if n.endswith(".pt")}
        others = {name: data for name, data in files.items() if not name.endswith(".pt")}
        found[job] = {"rows": rows, "result": result, "tensors": tensors, "files": others}
    return found


def _digest(value: Any) -> Any:
    """Tensors as the SHA-256 of their bytes, everything else as it is."""
    if isinstance(value, dict):
        return {key: _digest(item) for key, item in value.items()}
    if hasattr(value, "numpy"):
        return hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest(), str(value.dtype)
    return value


def finish(folder: Path, undisturbed: dict[str, Any], storage: Path | None = None) -> None:
    """Run the same command until all is done, and assert that nothing shows what happened before."""
    answer = start(folder, storage=storage).end(0)
    assert answer["ran"] + answer["reused"] == JOBS
    check(folder, undisturbed, storage)


def check(folder: Path, undisturbed: dict[str, Any], storage: Path | None = None) -> None:
    """Assert that all is done as in the undisturbed storage, and that running it again does nothing."""
    found = Storage(storage or folder / "storage")
    before = attempts(found)
    assert contents(found) == undisturbed
    answer = start(folder, storage=storage).end(0)
    assert (answer["ran"], answer["reused"]) == (0, JOBS)
    assert attempts(found) == before


# Read by every Python process of the command: it refuses to write below the storage while a file is there.
REFUSE = """\
import os
from pathlib import Path
from autoreid import folders
intact = folders.LocalFolder.write
def write(self, name, data):
    refuses = Path(os.environ["REFUSES"])
    if refuses.exists() and str(self.root).startswith(os.environ["REFUSED"]):
        raise folders._unwritable(self.root / name, OSError(refuses.read_text()))
    intact(self, name, data)
folders.LocalFolder.write = write
"""


@dataclass(frozen=True)
class Refusing:
    """A storage that can be made to refuse: `read-only` or `full`."""

    storage: Path
    environment: dict[str, str]
    refuse: Callable[[], object]
    allow: Callable[[], object]


@contextlib.contextmanager
def refusing(folder: Path, kind: str) -> Iterator[Refusing]:
    """A small file system of our own, remounted or filled; where none can be mounted, folders that refuse."""
    place = folder / "mounted"
    place.mkdir()
    mount = f"mount -t tmpfs -o size=128m none {place} && echo mounted && exec sleep {PATIENCE_SECONDS}"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert holder.stdout is not None
        mounted = holder.stdout.readline() == "mounted\n"
        yield _mounted(place, kind, holder.pid) if mounted else _patched(folder, kind)
    finally:
        holder.kill()
        holder.communicate()


def _mounted(place: Path, kind: str, holder: int) -> Refusing:
    seen = Path(f"/proc/{holder}/root{place}")
    enter = ["nsenter", "-t", str(holder), "--user", "--mount", "--preserve-credentials"]

    def remount(how: str) -> None:
        # Busy as long as a file is open for writing: tried until there is none.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while subprocess.run([*enter, "mount", "-o", f"remount,{how}", str(place)], check=False).returncode:
            assert time.monotonic() < deadline

    def fill() -> None:
        with (seen / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1 << 16))

    if kind == "read-only":
        return Refusing(seen / "storage", {}, lambda: remount("ro"), lambda: remount("rw"))
    return Refusing(seen / "storage", {}, fill, (seen / "ballast").unlink)


def _patched(folder: Path, kind: str) -> Refusing:
    hooks, refuses, storage = folder / "hooks", folder / "refuses", folder / "storage"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(REFUSE)
    path = os.pathsep.join([str(hooks), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {"PYTHONPATH": path, "REFUSES": str(refuses), "REFUSED": str(storage)}
    return Refusing(storage, environment, lambda: refuses.write_text(kind), refuses.unlink)
