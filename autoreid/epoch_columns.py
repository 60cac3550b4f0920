"""The columns of what is recorded of every epoch. Free of torch."""

from __future__ import annotations

from autoreid.columns import Column

EPOCH_COLUMNS = (
    Column("epoch", "int64", "", "epoch, counted from 1 when it is over", nullable=False),
    Column("loss", "float64", "", "mean training loss of the epoch (weights' objective)", nullable=False),
    Column("cross_entropy", "float64", "nats", "mean cross-entropy of the training batches"),
    Column("triplet", "float64", "", "mean triplet loss of the training batches"),
    Column(
        "distillation",
        "float64",
        "nats",
        "mean distillation loss of the training batches, before it is scaled; at temperature 0 the "
        "cross-entropy with the labels; empty without a teacher",
    ),
    Column(
        "temperature",
        "float64",
        "",
        "temperature of the distillation (weights' objective); empty without a teacher",
    ),
    Column(
        "alpha_distillation",
        "float64",
        "nats",
        "mean distillation loss of the held-out batches, before it is scaled (alphas' objective; search); "
        "empty without a teacher",
    ),
    Column(
        "alpha_temperature",
        "float64",
        "",
        "temperature of the distillation in the alphas' objective (search); empty without a teacher",
    ),
    Column("accuracy", "float64", "fraction", "share of training images classified as their identity"),
    Column(
        "validation_loss",
        "float64",
        "",
        "mean loss of the held-out batches (alphas' objective; search); a distillation is in it as it is "
        "scaled, so that epochs of different temperatures are not comparable",
    ),
    Column("validation_accuracy", "float64", "fraction", "accuracy on the held-out batches (search)"),
    Column("alpha_entropy", "float64", "nats", "mean entropy of softmax(alpha) over the places (search)"),
    Column("genotype", "string", "", "genotype derived from the alphas at this epoch (search)"),
    Column("genotype_changes", "int64", "", "places whose choice differs from the epoch before (search)"),
    Column(
        "share_skip_connect",
        "float64",
        "fraction",
        "skip_connect among the genotype's edges; empty where the space has none (search)",
    ),
    Column(
        "share_part_aware",
        "float64",
        "fraction",
        "part_aware among the genotype's edges; empty where the space has none (search)",
    ),
    Column(
        "share_parameter_free",
        "float64",
        "fraction",
        "pooling and skip_connect among the genotype's edges; empty where the space has none (search)",
    ),
    Column(
        "supernet_accuracy",
        "float64",
        "fraction",
        "accuracy of the supernet after the epoch, branches weighed as in the search, on some held-out "
        "images; empty where identities are held out (search)",
    ),
    Column(
        "discretised_accuracy",
        "float64",
        "fraction",
        "accuracy of the genotype's branches alone, with the same weights on the same images (search)",
    ),
    Column(
        "discretisation_gap",
        "float64",
        "fraction",
        "supernet_accuracy less discretised_accuracy (search)",
    ),
    Column(
        "alpha_eigenvalue",
        "float64",
        "",
        "largest eigenvalue of the Hessian of the alphas' objective by the alphas, on one held-out batch, a "
        "distillation scaled as in validation_loss; empty where it was not measured (search)",
    ),
    Column("learning_rate", "float64", "", "learning rate of the weights in this epoch"),
    Column("alpha_learning_rate", "float64", "", "learning rate of the alphas in this epoch (search)"),
    Column("steps", "int64", "", "batches of the epoch", nullable=False),
    Column("images", "int64", "", "training images seen in the epoch", nullable=False),
    Column("wall_seconds", "float64", "s", "wall time of the epoch", measured=True),
    Column("images_per_second", "float64", "1/s", "training images per second", measured=True),
    Column(
        "health_seconds",
        "float64",
        "s",
        "wall time of measuring accuracies and eigenvalue, besides wall_seconds (search)",
        measured=True,
    ),
)
