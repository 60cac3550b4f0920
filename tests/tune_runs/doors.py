"""What leaves a process: the ports it listens at, and words in what it writes."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

from autoreid.folders import Folder

LISTENS = "0A"  # a state of /proc/net/tcp


def listening(numbers: Iterable[int]) -> set[str]:
    """The addresses at which processes take connections, of TCP in either version."""
    return set().union(*map(_of_process, numbers))


def beyond_loopback(numbers: Iterable[int]) -> set[str]:
    """Those of them that another machine could reach."""
    return {place for place in listening(numbers) if not ipaddress.ip_address(place).is_loopback}


def _of_process(number: int) -> set[str]:
    own = set()
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for entry in os.scandir(f"/proc/{number}/fd"):
            with contextlib.suppress(OSError):
                own.add(str(Path(entry.path).readlink()))
    found = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{number}/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS and f"socket:[{fields[9]}]" in own:
                    found.add(_address(fields[1].partition(":")[0]))
    return found


def _address(written: str) -> str:
    """An address from the hexadecimal words of /proc/net, which are in the machine's own order."""
    words = [int(written[start : start + 8], 16) for start in range(0, len(written), 8)]
    data = b"".join(struct.pack("=I", word) for word in words)
    found = ipaddress.ip_address(socket.inet_ntop(socket.AF_INET6 if len(data) > 4 else socket.AF_INET, data))
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def holding(folder: Folder, words: Iterable[str]) -> list[str]:
    """The names of the files below a folder that hold any of the words, or are called by one."""
    sought = [word.encode() for word in words]
    return [
        name
        for name in folder.sizes()
        if any(word in name.encode() or word in folder.read(name) for word in sought)
    ]
