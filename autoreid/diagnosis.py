"""What is installed, what the machine offers, and what of it is broken: the content of `autoreid doctor`.

Nothing is loaded that may be broken itself, unless a check does so: the versions are those of the installed
packages' metadata.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autoreid.cli import find_commands
from autoreid.version import ENGINE_REVISION, STORAGE_VERSION, __version__

WIDTH = 100
# Without these no search and no training runs; other packages serve campaigns, tables and reports.
ENGINE = ("torch", "torchvision", "numpy", "pillow")
# What is served by extras, of which no installation needs any.
EXTRAS = {
    "onnx": "autoreid export",
    "faiss": "galleries searched by faiss",
    "cuhk03": "the images of cuhk-03.mat",
    "mlflow": "campaigns that MLflow tracks",
    "wandb": "campaigns that Weights & Biases tracks",
    "test": "the tests of autoreid",
}
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?\s*([^;]*)(;.*)?")
EXTRA = re.compile(r"extra == ['\"]([\w.-]+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a topic. Something `broken` keeps work from being done, a `note` may slow it down or
    keep a part of it from being done; both say what to do."""

    topic: str
    words: str
    state: Literal["ok", "note", "broken"] = "ok"
    remedy: str = ""

    def plain(self) -> dict[str, str]:
        return {"topic": self.topic, "state": self.state, "words": self.words, "remedy": self.remedy}


Check = Callable[[], Iterator[Finding]]


def findings(checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """What all checks find; one that fails in an unforeseen way is a finding itself."""
    found: list[Finding] = []
    for topic, check in checks:
        try:
            found += check()
        except Exception as error:  # whatever is broken here, the page is to be written
            words = f"the check failed: {type(error).__name__}: {error}"
            found.append(Finding(topic, words, "broken", "Report this with the rest of the page."))
    return found


def check_versions() -> Iterator[Finding]:
    """Python, this package, and what it requires."""
    yield Finding("python", f"{platform.python_version()}, {platform.platform()}")
    where = Path(__file__).parent.parent
    yield Finding(
        "autoreid", f"{__version__}, engine {ENGINE_REVISION}, storage {STORAGE_VERSION}, in {where}"
    )
    present, wanting = [], []
    for name, wanted in requirements():
        version = installed(name)
        if version is None:
            wanting.append(_missing(name, wanted))
        else:
            present.append(f"{name} {version}")
            if not _fits(version, wanted):
                wanting.append(_unfit(name, version, wanted))
    yield Finding("packages", ", ".join(present) or "none of those that autoreid requires")
    yield from wanting


def check_extras() -> Iterator[Finding]:
    """The packages of each extra. None is missed where it is not wanted; one of an unfit version is told."""
    for extra, wanted in extras().items():
        found = {name: (installed(name), versions) for name, versions in wanted}
        there = [f"{name} {version}" for name, (version, _) in found.items() if version]
        missing = [name for name, (version, _) in found.items() if not version]
        unfit = [
            f"{name} {version}, but {versions} is required"
            for name, (version, versions) in found.items()
            if version and not _fits(version, versions)
        ]
        install = f"pip install 'autoreid[{extra}]'"
        parts = [", ".join(there)] if there else []
        parts += [f"not there: {', '.join(missing)} ({install})"] if missing else []
        words = f"{extra}, for {EXTRAS.get(extra, 'more')}: {'; '.join([*parts, *unfit])}"
        yield Finding("extras", words, "note" if unfit else "ok", f"Run: {install}" if unfit else "")


def extras() -> dict[str, list[tuple[str, str]]]:
    """Names and versions of the packages that each extra adds, by the metadata of this package."""
    found: dict[str, list[tuple[str, str]]] = {}
    for match in _required():
        extra = EXTRA.search(match[3] or "")
        if extra:
            found.setdefault(extra[1], []).append((match[1], match[2].strip()))
    return found


def requirements() -> list[tuple[str, str]]:
    """Names and versions of the packages that this one requires, by its metadata; the engine's, at least."""
    matches = [match for match in _required() if not EXTRA.search(match[3] or "")]
    return [(match[1], match[2].strip()) for match in matches] or [(name, "") for name in ENGINE]


def _required() -> list[re.Match[str]]:
    """The lines of this package's metadata that name what it requires, or an extra of it."""
    try:
        lines = importlib.metadata.requires("autoreid") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    return list(filter(None, map(REQUIREMENT.match, lines)))


def installed(name: str) -> str | None:
    """The version of an installed package; None where it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fits(version: str, wanted: str) -> bool:
    """Whether a version is among those that are wanted; yes where nothing here can compare them."""
    try:
        from packaging.specifiers import SpecifierSet  # of most installations, required by none of ours
    except ImportError:
        return True
    return bool(SpecifierSet(wanted).contains(version.partition("+")[0], prereleases=True))


def _missing(name: str, wanted: str) -> Finding:
    if name in ENGINE:
        return Finding("packages", f"{name} is missing", "broken", f"Run: pip install '{name}{wanted}'")
    words = f"{name} is missing: searches and trainings run, campaigns or reports may not"
    return Finding("packages", words, "note", f"Run: pip install '{name}{wanted}'")


def _unfit(name: str, version: str, wanted: str) -> Finding:
    words = f"{name} {version}, but {wanted} is required"
    return Finding("packages", words, "broken", f"Run: pip install '{name}{wanted}'")


def check_commands() -> Iterator[Finding]:
    """Sub-commands that other packages, or parts of this one, offer and that cannot be loaded."""
    commands, broken = find_commands()
    for name, why in sorted(broken.items()):
        remedy = "Install a version of its package that fits, or remove it."
        yield Finding("commands", f"autoreid {name} could not be loaded: {why}", "broken", remedy)
    if not broken:
        yield Finding("commands", f"{len(commands)}, all of them load")


def shortened(text: str) -> str:
    """A text in which the home folder is "~": a page for others need not tell whose it is.

    >>> shortened(f"{Path.home()}/results: gone")
    '~/results: gone'
    """
    homes = {os.path.expanduser("~")}  # noqa: PTH111
    with contextlib.suppress(OSError, RuntimeError):
        homes.add(str(Path.home().resolve()))
    for home in sorted(homes - {"/", "~"}, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(home)}(?![\w-]|\.\w)", "~", text)
    return text


def page_plain(found: Iterable[Finding]) -> dict[str, Any]:
    """The page as JSON values."""
    listed = [{key: shortened(value) for key, value in finding.plain().items()} for finding in found]
    return {
        "healthy": all(finding["state"] != "broken" for finding in listed),
        "findings": listed,
    }


def page_text(plain: dict[str, Any]) -> str:
    """The page for people."""
    counts = {
        state: sum(finding["state"] == state for finding in plain["findings"]) for state in ("broken", "note")
    }
    parts = [f"{counts['broken']} broken"] if counts["broken"] else []
    parts += [f"{counts['note']} to look at"] if counts["note"] else []
    lines = [f"autoreid doctor: {', '.join(parts) or 'all is well'}"]
    width = max(len(finding["topic"]) for finding in plain["findings"])
    for finding in plain["findings"]:
        mark = finding["state"] if finding["state"] == "ok" else finding["state"].upper()
        head = f"  {mark:<6}  {finding['topic']:<{width}}  "
        lines += _wrapped(finding["words"], head, " " * len(head))
        if finding["remedy"]:
            lines += _wrapped(finding["remedy"], " " * len(head) + "-> ", " " * (len(head) + 3))
    return "\n".join(lines)


def _wrapped(text: str, first: str, others: str) -> list[str]:
    wrap = textwrap.TextWrapper(
        WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False, break_long_words=False
    )
    return wrap.wrap(" ".join(text.split()))
