"""`autoreid doctor`: a page on an installation and its machine. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
import functools

from autoreid.cli import DONE, FAILED, Command, add_json_flag, answer

EPILOG = """\
examples:
  autoreid doctor                                           the installation and this machine
  autoreid doctor --storage DIR --data DIR                  and whether both can be used
  autoreid doctor --storage s3://BUCKET/PREFIX --json       for programs

Exit code 1 where something is broken. The page holds no environment variables and no credentials, and the
home folder is written as ~: it can be sent with a bug report.
"""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--storage", metavar="DIR", help="a storage to try: a folder or an address")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="[SET:]DIR",
        help="images of people to try, or 'rendered'; repeatable (SET: found by looking unless given)",
    )
    add_json_flag(parser)


def _run(options: argparse.Namespace) -> int:
    from autoreid import probes
    from autoreid.diagnosis import (
        check_commands,
        check_extras,
        check_versions,
        findings,
        page_plain,
        page_text,
    )

    checks = [
        ("packages", check_versions),
        ("extras", check_extras),
        ("commands", check_commands),
        ("processor", probes.check_processor),
        ("memory", probes.check_memory),
        ("gpus", probes.check_gpus),
        ("disk", probes.check_disks),
        ("loopback", probes.check_loopback),
    ]
    if options.storage is not None:
        checks.append(("storage", functools.partial(probes.check_storage, options.storage)))
    checks += [("data", functools.partial(probes.check_data, given)) for given in options.data]
    plain = page_plain(findings(checks))
    answer(plain, page_text(plain), options.json)
    return DONE if plain["healthy"] else FAILED


DOCTOR = Command("doctor", "Versions, devices, storage, data: one page for a bug report.", _configure, _run)
