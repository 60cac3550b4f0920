"""The columns of what is told of a job in several rows: alphas, evaluations and costs. Free of torch."""

from __future__ import annotations

from autoreid.columns import Column

ALPHA_COLUMNS = (
    Column("epoch", "int64", "", "epoch, counted from 1 when it is over", nullable=False),
    Column("place", "string", "", "place of the search space, such as an edge of a cell", nullable=False),
    Column("option", "string", "", "option of the place, such as an operation", nullable=False),
    Column(
        "alpha",
        "float64",
        "",
        "the alpha, to 6 significant digits; of the last epoch as in the result",
        nullable=False,
    ),
    Column("weight", "float64", "fraction", "softmax of the alphas over the place's options", nullable=False),
)

# Of one network, over draws of whole identities among the queries; empty for few identities.
INTERVAL_COLUMNS = (
    Column("mAP_low", "float64", "fraction", "lower end of mAP's 95% interval over the queries' identities"),
    Column("mAP_high", "float64", "fraction", "upper end of it"),
    Column("rank_1_low", "float64", "fraction", "lower end of rank-1's 95% interval over the identities"),
    Column("rank_1_high", "float64", "fraction", "upper end of it"),
)

EVALUATION_COLUMNS = (
    Column(
        "stage",
        "string",
        "",
        "trained, untrained (the same network before its training), evaluated (the trained network again, "
        "by an evaluation of its own), or selection (a candidate of a selection or of a random search)",
        nullable=False,
    ),
    Column("search_job", "string", "", "id of the search that found the genotype, if one did"),
    Column("genotype", "string", "", "12-digit digest of the genotype"),
    Column("data_set", "string", "", "name of the data set"),
    Column("split", "string", "", "test, or validation: images of the training set", nullable=False),
    Column("protocol", "string", "", "evaluation protocol as JSON; empty where it was not recorded"),
    Column(
        "feature", "string", "", "what was ranked, in words, such as f_tri; empty where it was not recorded"
    ),
    Column("reranked", "bool", "", "whether images were ranked by re-ranked distances"),
    Column("mAP", "float64", "fraction", "mean average precision"),
    Column("rank_1", "float64", "fraction", "CMC at rank 1"),
    Column("rank_5", "float64", "fraction", "CMC at rank 5"),
    Column("rank_10", "float64", "fraction", "CMC at rank 10"),
    Column("mINP", "float64", "fraction", "mean inverse negative penalty"),
    Column("queries", "int64", "", "queries with a valid match"),
    Column("left_out", "int64", "", "queries without one, which no score counts; empty where not recorded"),
    Column("absent_identities", "int64", "", "of these, queries whose identity is absent from the gallery"),
    *INTERVAL_COLUMNS,
)

COST_COLUMNS = (
    Column(
        "phase",
        "string",
        "",
        "of the attempt that counts: search (epochs of a search, short trainings, a selection), health (what "
        "measures a search), train, evaluation (features and ranking at the end), latency (networks that are "
        "timed), other (all the rest: data, saving, the untrained network's evaluation); and failed and "
        "interrupted attempts",
        nullable=False,
    ),
    Column(
        "seconds",
        "float64",
        "s",
        "wall time; over the phases it adds up to wall_seconds, failed_seconds and interrupted_seconds of "
        "`trials`",
        nullable=False,
        measured=True,
    ),
    Column("device_kind", "string", "", "cuda or cpu; empty where it was not recorded", measured=True),
    Column("device", "string", "", "name of the GPU, else of the processor", measured=True),
    Column("devices", "int64", "", "GPUs held, else CPU threads", measured=True),
    Column("device_seconds", "float64", "s", "seconds times devices", measured=True),
)
