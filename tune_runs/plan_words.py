"""Plans as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoreid.jobs import JobKind
from tune_runs.costs import costs_lines
from tune_runs.memory import memory_lines
from tune_runs.overview import KINDS, Plain
from tune_runs.power import comparison_lines
from tune_runs.protocol import VARIED
from tune_runs.words import counted, table


def _work(counts: Mapping[JobKind, int]) -> str:
    """
    >>> _work({"search": 1, "pretrain": 0, "random-search": 0, "select": 0, "train": 2, "evaluate": 0})
    '1 search, 2 trainings'
    """
    shown = [kind for kind in KINDS if counts.get(kind) or kind in ("search", "train")]
    return ", ".join(counted(counts.get(kind, 0), *KINDS[kind]) for kind in shown)


def _evaluation_words(given: Plain) -> str:
    """What an evaluation does beside that of the training.

    >>> from dataclasses import asdict
    >>> from autoreid.evaluate_recipes import EvaluateRecipe
    >>> _evaluation_words(asdict(EvaluateRecipe(flip=True, rerank=True)))
    're-ranked (k1 20, k2 6, lambda 0.3), features of image and mirror image'
    """
    reranking = f"re-ranked (k1 {given['k1']}, k2 {given['k2']}, lambda {given['weight']:g})"
    said = {
        reranking: given["rerank"],
        "raw distances": not given["normalised"],
        "AP by trapezoids": given["average_precision"] == "trapezoid",
        "features of image and mirror image": given["flip"],
        "pictures": given["pictures"],
    }
    return ", ".join(words for words, holds in said.items() if holds) or "camera pairs and hardest queries"


def _protocol_lines(plain: Plain) -> list[str]:
    """What the repeats are, as far as it is not what it always is."""
    protocol, lines = plain["protocol"], []
    for words in dict.fromkeys(arm["select"] for arm in plain["arms"] if arm["select"]):
        lines += [f"the best search of an arm is selected {words}"]
    if protocol["trained"] == "best":
        lines += [f"the selected genotype alone is trained: {counted(protocol['trainings'], 'time')}"]
    if protocol["vary"] != list(VARIED):
        lines += [f"repeats vary the seeds of: {', '.join(protocol['vary']) or 'nothing'}"]
    if plain["evaluation"]:
        lines += [f"every trained network is evaluated once more: {_evaluation_words(plain['evaluation'])}"]
    if plain["latency"]:
        lines += [f"all networks are timed side by side: {_latency_words(plain['latency'])}"]
    return lines


def _latency_words(given: Plain) -> str:
    """How networks are timed.

    >>> _latency_words({"batch": [1, 128], "images": 19281, "passes": 5, "precision": "fp32"})
    'batches of 1 and 128, 5 passes of 19,281 images, fp32'
    """
    sizes = " and ".join(map(str, given["batch"]))
    passes = counted(given["passes"], "pass", "passes")
    return f"batches of {sizes}, {passes} of {given['images']:,} images, {given['precision']}"


def plan_text(plain: Plain) -> str:
    """A plan for people."""
    jobs, done = plain["jobs"], plain["done"]
    shared = plain["shared"]
    note = f" ({shared} more {'is' if shared == 1 else 'are'} shared between arms)" if shared else ""
    lines = [
        plain["campaign"],
        *(f"  {line}".rstrip() for line in plain["claim"].splitlines()),
        "",
        *_data_lines(plain),
        f"repeats: {plain['repeats']}; arms: {len(plain['arms'])}",
        *_protocol_lines(plain),
        *_arm_lines(plain),
        "",
        f"jobs: {_work(jobs)}{note}",
    ]
    if done is not None:
        lines += [f"done already and reused: {_work(done)}"]
    lines += plain["change"]["lines"] if plain["change"] else []
    lines += [f"resources: {plain['resources'] or plain['resources_problem']}"]
    lines += costs_lines(plain["costs"], KINDS) if plain["costs"] else []
    lines += memory_lines(plain["memory"]) if plain["memory"] else []
    lines += comparison_lines(plain["comparison"]) if plain["comparison"] else []
    return "\n".join([*lines, *_job_lines(plain)])


def _pairs(given: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in given.items())


def _data_lines(plain: Plain) -> Iterator[str]:
    """The data sets, the default one first, and what is pretrained on."""
    if plain["data"]:
        yield f"data: {_pairs(plain['data'])}"
    for given in plain["data_sets"][1:]:
        source = {key: value for key, value in given.items() if key not in ("name", "fingerprint")}
        yield f"  {given['name']}: {_pairs(source)}"
    if plain["classes"]:
        yield f"pretraining on: {_pairs(plain['classes'])}"
    if plain["data_problem"]:
        fields = ["data.root=DIR"] * bool(plain["data"])
        fields += ["data_sets.NAME.root=DIR"] * (len(plain["data_sets"]) > 1)
        fields += ["pretrain.data.root=DIR"] * bool(plain["classes"])
        elsewhere = f"elsewhere: --set {' or '.join(fields)}"
        yield f"  not readable here, so that it cannot run yet ({elsewhere}):"
        yield from (f"    {line}" for line in plain["data_problem"].splitlines())
        yield "  what it costs is told, and measured by --probe, where the data is"


def _arm_lines(plain: Plain) -> Iterator[str]:
    """The arms with what they search and train, and on which data where there are several sets."""
    several = len(plain["data_sets"]) > 1
    rows = []
    for arm in plain["arms"]:
        sets = [arm[key] or "-" for key in ("searched_on", "trained_on")] if several else []
        rows.append(
            (arm["arm"], arm["search"] or arm["genotype"] or arm["random"], arm["train"] or "-", *sets)
        )
    heads = ("searched on", "trained on") if several else ()
    yield from table(("arm", "search or genotype", "training", *heads), rows)
    yield from plain["sweep"]
    for words in dict.fromkeys(arm["pretrain"] for arm in plain["arms"] if arm["pretrain"]):
        arms = dict.fromkeys(arm["stem"] for arm in plain["arms"] if arm["pretrain"] == words)
        yield f"pretrained ({words}): {', '.join(arms)}"
    for teacher in dict.fromkeys(arm["teacher"] for arm in plain["arms"] if arm["teacher"]):
        arms = dict.fromkeys(arm["stem"] for arm in plain["arms"] if arm["teacher"] == teacher)
        count = sum(arm["stem"] == teacher for arm in plain["arms"])
        trained = f", which is trained once{' on each data set' * (count > 1)}" if count else ""
        yield f"taught by {teacher}{trained}: {', '.join(arms)}"


def _job_lines(plain: Plain) -> Iterator[str]:
    """Every job, where they are listed."""
    if "job_list" not in plain:
        return
    several = len(plain["data_sets"]) > 1
    rows = []
    for job in plain["job_list"]:
        data = [job["data_set"] or "-"] if several else []
        where = (job["arm"], *data, str(job["repeat"] + 1))
        rows.append((job["job"] or "-", job["kind"], *where, job["status"] or "-"))
    yield ""
    yield from table(("job", "kind", "arm", *["data"] * several, "repeat", "state"), rows)
