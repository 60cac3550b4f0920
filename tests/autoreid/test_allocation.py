"""Memory that a process keeps between steps, looked at from outside of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Asks for 160 MiB in pieces and gives them back, twice: kept memory is there before the second time.
PIECES = """\
import sys
import torch
from autoreid.allocation import kept_memory
from autoreid.execution import Execution

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def step():
    pieces = [torch.ones(2**22) for _ in range(10)]
    return resident()

execution = Execution(keep_memory=sys.argv[1] == "True")
begin = resident()
with kept_memory(execution):
    peak = step()
    between = resident()
print(begin, peak, between, resident())
"""


@pytest.mark.parametrize("keep", [True, False])
def test_memory_is_kept_within_a_run_and_given_back_after_it(keep: bool) -> None:
    command = [sys.executable, "-c", PIECES, str(keep)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    begin, peak, between, after = map(int, done.stdout.split())
    taken = peak - begin
    assert taken > 150 * 2**20
    kept = keep and platform.libc_ver()[0] == "glibc"  # the settings are glibc's
    assert (between - begin > 0.9 * taken) == kept
    assert after - begin < 0.2 * taken
