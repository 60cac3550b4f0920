"""The columns of everything that is recorded, declared once. Free of torch.

The engine writes rows with these names; `analysis` derives the parquet schemas from them. A column marked
`measured` holds what a clock or a machine gave: it may differ between two runs that are otherwise equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from autoreid.columns import Column
from autoreid.detail_columns import ALPHA_COLUMNS, COST_COLUMNS, EVALUATION_COLUMNS, INTERVAL_COLUMNS
from autoreid.epoch_columns import EPOCH_COLUMNS
from autoreid.latency_columns import LATENCY_COLUMNS

# Raised where files need another reading: a table is added, or a column is removed, renamed, or changes its
# type, unit or meaning, or may no longer be empty. A new column that may be empty does not raise it: older
# files have it empty, and older releases pass over it.
SCHEMA_VERSION = 3

# Which job a row belongs to: in every table, filled in by the collection from the campaign's manifest.
KEYS = (
    Column("campaign", "string", "", "name of the campaign", nullable=False),
    Column("job", "string", "", "id of the job: what was computed, by content", nullable=False),
    Column(
        "kind",
        "string",
        "",
        "search, random-search, select, pretrain, train, evaluate or latency",
        nullable=False,
    ),
    Column("arm", "string", "", "arm of the campaign, grid values included", nullable=False),
    Column(
        "repeat",
        "int64",
        "",
        "repeat of the arm, or training of the selected genotype, counted from 0",
        nullable=False,
    ),
)

SEEDS = (
    Column("seed_split", "int64", "", "seed that divided the training set (searches, select)"),
    Column("seed_search", "int64", "", "seed of the search, or of the random architecture"),
    Column("seed_train", "int64", "", "seed of the training or pretraining (select: of its trainings)"),
)

FOUND_BY = Column(
    "found_by", "string", "", "how the genotype is found: search, random-search, random-sampling or given"
)

TEACHER = Column(
    "teacher",
    "string",
    "",
    "what guided it: the arm that trained it, or the first digits of a model file; empty without a teacher",
)

TRIAL_COLUMNS = (
    Column("status", "string", "", "done, failed, started, waiting or skipped", nullable=False),
    *SEEDS,
    Column("recipe", "string", "", "digest of the recipe", nullable=False),
    Column("recipe_json", "string", "", "the recipe, every field, as JSON"),
    Column("data_set", "string", "", "name of the data set"),
    Column(
        "data_fingerprint", "string", "", "SHA-256 over names, bytes and labels of the images", nullable=False
    ),
    Column(
        "engine_revision", "int64", "", "revision of the results that the engine computes", nullable=False
    ),
    Column("inputs", "string", "", "what the job starts from, as JSON: job ids or a genotype"),
    FOUND_BY,
    TEACHER,
    Column("attempts", "int64", "", "attempts so far, failed ones included", nullable=False, measured=True),
    Column("epochs", "int64", "", "epochs done"),
    Column("wall_seconds", "float64", "s", "wall time of the attempt that counts", measured=True),
    Column("failed_seconds", "float64", "s", "wall time of attempts that failed", measured=True),
    Column(
        "interrupted_seconds",
        "float64",
        "s",
        "wall time of attempts that were stopped or killed, up to the last sign of life",
        measured=True,
    ),
    Column(
        "peak_memory_bytes", "int64", "bytes", "peak memory: of the GPU, else of the process", measured=True
    ),
    Column("device", "string", "", "device that computed it", measured=True),
    Column("threads", "int64", "", "CPU threads", measured=True),
    Column(
        "forms",
        "string",
        "",
        "forms of the computation that were asked for, such as supernet=plain; default: the usual ones",
        measured=True,
    ),
    Column("code_version", "string", "", "version of autoreid", measured=True),
    Column("torch_version", "string", "", "version of torch", measured=True),
    Column("python_version", "string", "", "version of Python", measured=True),
    Column("started", "string", "UTC", "when the attempt that counts began, ISO 8601", measured=True),
    Column("error", "string", "", "why the last attempt failed, or why the job was skipped"),
)

GENOTYPE_COLUMNS = (
    *SEEDS[:2],
    Column("data_set", "string", "", "name of the data set on which it was searched, or trained where given"),
    Column("space", "string", "", "id of the search space", nullable=False),
    Column("genotype", "string", "", "12-digit digest of the genotype", nullable=False),
    Column("choices", "string", "", "the choices as JSON: place to option", nullable=False),
    FOUND_BY,
    TEACHER,
    Column("alpha_entropy", "float64", "nats", "mean entropy of softmax(alpha) at the end"),
    Column("validation_loss", "float64", "", "held-out loss of the last epoch"),
    Column("validation_accuracy", "float64", "fraction", "held-out accuracy of the last epoch"),
    Column(
        "validation_mAP",
        "float64",
        "fraction",
        "mAP of the genotype on images that are no test images, by which the best is selected",
    ),
    Column("selected", "bool", "", "whether it is the search that was selected; empty without a selection"),
    Column(
        "collapsed",
        "bool",
        "",
        "whether half of the normal cell's edges, or more, have no parameters; empty without a normal cell",
    ),
    Column("stopped_epoch", "int64", "", "epoch at which early stopping ended the search, if it did"),
    Column("genotype_epoch", "int64", "", "epoch whose genotype it is"),
    Column("relaxation", "string", "", "how alphas weigh the branches: top-k or softmax"),
    Column("k", "string", "", "branches computed per place: a number, or all"),
    Column(
        "params_backbone",
        "int64",
        "",
        "parameters of the derived backbone at width 1, or C = 64 and l = 2,2,2,2",
    ),
    Column("images_seen", "int64", "", "images used by the search, both halves, or by all short trainings"),
    Column(
        "budget_images", "int64", "", "images of the search whose budget a random search has (random-search)"
    ),
    Column("search_seconds", "float64", "s", "wall time of the search's epochs", measured=True),
    Column("milliseconds_per_image", "float64", "ms", "search time for one training image", measured=True),
)

CELL_SIZES = (
    Column("channels", "int64", "", "channels C of the first cells; empty for networks without cells"),
    Column("layers", "string", "", "cells of each block, l; empty for networks without cells"),
)

RETRAIN_COLUMNS = (
    Column("data_set", "string", "", "name of the data set on which it was trained and ranked"),
    Column("seed_train", "int64", "", "seed of the training"),
    Column("search_job", "string", "", "id of the search whose genotype was trained, if one was"),
    Column("search_data_set", "string", "", "name of the data set on which that search was made"),
    Column("seed_search", "int64", "", "seed of that search"),
    Column("pretraining", "string", "", "id of the pretraining whose weights it began with, if there is one"),
    TEACHER,
    Column(
        "selected", "bool", "", "whether that search was selected among its arm's; empty without a selection"
    ),
    Column("space", "string", "", "id of the search space"),
    Column("genotype", "string", "", "12-digit digest of the genotype"),
    Column("network", "string", "", "name of the network, or the genotype in words", nullable=False),
    Column("mAP", "float64", "fraction", "mean average precision on query and gallery", nullable=False),
    Column("rank_1", "float64", "fraction", "CMC at rank 1", nullable=False),
    Column("rank_5", "float64", "fraction", "CMC at rank 5", nullable=False),
    Column("rank_10", "float64", "fraction", "CMC at rank 10", nullable=False),
    Column("mINP", "float64", "fraction", "mean inverse negative penalty", nullable=False),
    Column("queries", "int64", "", "queries with a valid match", nullable=False),
    *INTERVAL_COLUMNS,
    Column("protocol", "string", "", "evaluation protocol as JSON", nullable=False),
    Column("reranked_mAP", "float64", "fraction", "mAP after re-ranking, where an evaluation gave it"),
    Column("reranked_rank_1", "float64", "fraction", "CMC at rank 1 after re-ranking"),
    Column("reranked_rank_5", "float64", "fraction", "CMC at rank 5 after re-ranking"),
    Column("reranked_rank_10", "float64", "fraction", "CMC at rank 10 after re-ranking"),
    Column("reranked_protocol", "string", "", "protocol of the re-ranked figures as JSON"),
    Column("untrained_mAP", "float64", "fraction", "mAP of the same network before training"),
    Column("untrained_rank_1", "float64", "fraction", "rank-1 of the same network before training"),
    Column("params_backbone", "int64", "", "parameters of the backbone", nullable=False),
    Column("params_inference", "int64", "", "parameters that inference needs", nullable=False),
    Column("params_training", "int64", "", "parameters during training", nullable=False),
    Column(
        "multiply_adds_backbone", "int64", "", "multiply-adds of the backbone for one image", nullable=False
    ),
    Column("multiply_adds_inference", "int64", "", "multiply-adds of one image's feature", nullable=False),
    Column("feature_dim", "int64", "", "length of the feature", nullable=False),
    Column("height", "int64", "px", "height of the images"),
    Column("width", "int64", "px", "width of the images"),
    Column("width_multiplier", "float64", "", "width multiplier of the backbone"),
    *CELL_SIZES,
    Column("train_seconds", "float64", "s", "wall time of the training's epochs", measured=True),
    Column("evaluation_seconds", "float64", "s", "wall time of features and ranking", measured=True),
)

PRETRAIN_COLUMNS = (
    Column("seed_train", "int64", "", "seed of the pretraining"),
    Column("space", "string", "", "id of the search space"),
    Column("genotype", "string", "", "12-digit digest of the genotype"),
    Column("network", "string", "", "name of the network, or the genotype in words", nullable=False),
    Column("top_1", "float64", "fraction", "validation images classified right", nullable=False),
    Column(
        "top_5", "float64", "fraction", "validation images whose class is among the best 5", nullable=False
    ),
    Column("images", "int64", "", "validation images", nullable=False),
    Column("classes", "int64", "", "classes of the data set", nullable=False),
    Column("params_backbone", "int64", "", "parameters of the backbone", nullable=False),
    Column("params_training", "int64", "", "parameters with the classifiers", nullable=False),
    Column(
        "multiply_adds_backbone", "int64", "", "multiply-adds of the backbone for one image", nullable=False
    ),
    Column("height", "int64", "px", "height of the images"),
    Column("width", "int64", "px", "width of the images"),
    Column("width_multiplier", "float64", "", "width multiplier of the backbone"),
    *CELL_SIZES,
    Column("train_seconds", "float64", "s", "wall time of the pretraining's epochs", measured=True),
    Column("evaluation_seconds", "float64", "s", "wall time of the validation", measured=True),
)

# A sweep's points have no rows of their own in KEYS: their searches and selections do.
POINT_COLUMNS = (
    KEYS[0],
    Column("study", "string", "", "the study: an arm that is swept, or several together", nullable=False),
    Column("number", "int64", "", "point of the study, counted from 0", nullable=False),
    Column("arm", "string", "", "arm that is swept", nullable=False),
    Column("point", "string", "", "arm and values in words: `arm` of its searches elsewhere", nullable=False),
    Column("state", "string", "", "done, failed, pruned, known (asked before) or open", nullable=False),
    Column("best", "bool", "", "whether it is the best, or on the front of several aims", nullable=False),
    Column("values", "string", "", "the values that were chosen, as JSON: domain to value", nullable=False),
    Column("mAP", "float64", "fraction", "mean validation mAP of its repeats; empty where it is no aim"),
    Column("rank_1", "float64", "fraction", "mean validation rank-1; empty where it is no aim"),
    Column("multiply_adds", "float64", "", "mean multiply-adds of its networks; empty where they are no aim"),
    Column("parameters", "float64", "", "mean parameters of its networks; empty where they are no aim"),
    Column("reason", "string", "", "why it failed, was pruned, or was known"),
    Column("jobs", "string", "", "ids of its jobs as JSON, the selection last", nullable=False),
)

# Table name -> columns, in the order in which they stand in the parquet file.
TABLES: dict[str, tuple[Column, ...]] = {
    "trials": (*KEYS, *TRIAL_COLUMNS),
    "epochs": (*KEYS, *EPOCH_COLUMNS),
    "genotypes": (*KEYS, *GENOTYPE_COLUMNS),
    "retrains": (*KEYS, *RETRAIN_COLUMNS),
    "pretrains": (*KEYS, *PRETRAIN_COLUMNS),
    "points": POINT_COLUMNS,
    "alphas": (*KEYS, *ALPHA_COLUMNS),
    "evaluations": (*KEYS, *EVALUATION_COLUMNS),
    "costs": (*KEYS, *COST_COLUMNS),
    "latencies": (*KEYS, *LATENCY_COLUMNS),
}

# The schema version that brought a table: tables that an older release collected are without it.
SINCE = {"alphas": 2, "evaluations": 2, "costs": 2, "latencies": 3}


def measured(table: str) -> frozenset[str]:
    """Names of the columns of a table that a clock or a machine gave."""
    return frozenset(column.name for column in TABLES[table] if column.measured)


def fit(row: Mapping[str, Any], columns: Iterable[Column]) -> dict[str, Any]:
    """The row with exactly these columns; absent ones are None.

    >>> fit({"epoch": 1, "other": 2}, EPOCH_COLUMNS[:2])
    {'epoch': 1, 'loss': None}
    """
    return {column.name: row.get(column.name) for column in columns}
