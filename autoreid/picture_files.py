"""The files that an evaluation leaves to look at, by name. Free of torch."""

RANKED = "pictures-ranked.png"
ACTIVATIONS = "pictures-activations.png"
FEATURES = "features.npz"
