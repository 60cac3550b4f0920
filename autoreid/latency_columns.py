"""The columns of what networks take at inference. Free of torch."""

from __future__ import annotations

from autoreid.columns import Column

LATENCY_COLUMNS = (
    Column("network", "string", "", "name of the network, else its genotype's digest", nullable=False),
    Column("genotype", "string", "", "12-digit digest of the genotype", nullable=False),
    Column("height", "int64", "px", "height of the images", nullable=False),
    Column("width", "int64", "px", "width of the images", nullable=False),
    Column("neck", "string", "", "name of the neck, of which inference runs a part"),
    Column("batch", "int64", "", "images at once", nullable=False),
    Column(
        "batch_milliseconds",
        "float64",
        "ms",
        "median over the full batches of all passes",
        nullable=False,
        measured=True,
    ),
    Column(
        "batch_milliseconds_iqr",
        "float64",
        "ms",
        "between the quartiles of these batches",
        nullable=False,
        measured=True,
    ),
    Column(
        "image_milliseconds", "float64", "ms", "batch_milliseconds over batch", nullable=False, measured=True
    ),
    Column("images_per_second", "float64", "1/s", "batch over the median", nullable=False, measured=True),
    Column("pass_images", "int64", "", "images of a pass", nullable=False),
    Column("passes", "int64", "", "passes, in which the networks took turns", nullable=False),
    Column(
        "pass_seconds",
        "float64",
        "s",
        "a pass over all images, mean of all passes",
        nullable=False,
        measured=True,
    ),
    Column(
        "passes_seconds",
        "string",
        "s",
        "every pass as JSON, in the order of the passes: ratios are taken pass by pass",
        nullable=False,
        measured=True,
    ),
    Column("parameters", "int64", "", "parameters that inference needs", nullable=False),
    Column("multiply_adds", "int64", "", "multiply-adds of one image's feature", nullable=False),
    Column("feature_dim", "int64", "", "length of the feature", nullable=False),
    Column(
        "peak_memory_bytes",
        "int64",
        "bytes",
        "the most that is held for a batch, the network included",
        nullable=False,
        measured=True,
    ),
    Column(
        "peak_memory_source",
        "string",
        "",
        "allocator: of the GPU, by torch; counted: by the sizes of the tensors",
        nullable=False,
        measured=True,
    ),
    Column("precision", "string", "", "fp32, tf32 or bf16", nullable=False),
    Column("device_kind", "string", "", "cuda or cpu", nullable=False, measured=True),
    Column("device", "string", "", "name of the GPU, else of the processor", nullable=False, measured=True),
    Column("threads", "int64", "", "CPU threads", measured=True),
    Column(
        "forms",
        "string",
        "",
        "forms of the computation that were asked for, such as compile=true; default: the usual ones",
        measured=True,
    ),
    Column("code_version", "string", "", "version of autoreid", measured=True),
    Column("torch_version", "string", "", "version of torch", measured=True),
)
