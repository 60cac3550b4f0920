"""What jobs start from, as job.json and manifests write it. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def needs_of(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the jobs that a job with these inputs starts from, as job.json and manifests write them.

    >>> needs_of({"jobs": ["a", "b"]}), needs_of({"job": "a", "pretraining": "b"}), needs_of({"genotype": {}})
    (('a', 'b'), ('a', 'b'), ())
    >>> needs_of({"job": "a", "teacher": "b"}), needs_of({"teacher": "sha256:00"})  # the latter is a file
    (('a', 'b'), ())
    >>> needs_of({"training": "a"}), needs_of({"networks": ["a", {"space": "cds-v1"}]})
    (('a',), ('a',))
    """
    given = [inputs[name] for name in ("job", "pretraining", "teacher", "training") if name in inputs]
    found = [name for name in inputs.get("networks", ()) if isinstance(name, str)]
    return (*inputs.get("jobs", ()), *found, *(name for name in given if ":" not in name))
