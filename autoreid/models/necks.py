"""Necks: what stands between a backbone's maps and the losses, and what inference keeps of it.

Source: CDNet, section 3.3 (BLNeck, FBLNeck); Bag of Tricks, as CDNet compares with it (BNNeck); Auto-ReID,
section 3.2 (EmbeddingHead); OSNet, Table 1 (FCNeck).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from autoreid.errors import InputError
from autoreid.recipes import Neck
from search_spaces.space import FeatureMaps


class Branch(NamedTuple):
    """One pair of losses: the feature that the triplet loss sees, (batch, d), and logits, (batch, n)."""

    feature: Tensor
    logits: Tensor


class NeckModule(Protocol):
    """A neck: branches for the losses, an embedding for inference.

    `training_only` names the parts that inference drops; `feature_dim` is the embedding's length, and
    `ranked` says in words what it is. `loss_features` gives `f_tri`, what the triplet loss sees, and `f_fc`,
    what the classifier sees, (batch, d) each; of several branches those of the global one.
    """

    training_only: tuple[str, ...]
    feature_dim: int
    ranked: str

    def branches(self, maps: FeatureMaps) -> tuple[Branch, ...]: ...

    def embed(self, maps: FeatureMaps) -> Tensor: ...

    def loss_features(self, maps: FeatureMaps) -> dict[str, Tensor]: ...


def _pooled(x: Tensor) -> Tensor:
    # A sum and a division: the gradient of a mean is a whole map, of which every copy costs.
    return x.sum((2, 3)) / (x.shape[2] * x.shape[3])


class Balance(nn.Module):
    """feature -> FC -> BN -> ReLU -> classifier: the feature stays free for the triplet loss."""

    def __init__(self, inputs: int, embedding: int, identities: int) -> None:
        super().__init__()
        self.embedding = nn.Sequential(
            nn.Linear(inputs, embedding), nn.BatchNorm1d(embedding), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Linear(embedding, identities)

    def forward(self, feature: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.embedding(feature))
        return logits


class BNNeck(nn.Module):
    """feature -> BN -> classifier; triplet before the BN, inference after it."""

    training_only = ("classifier",)
    ranked = "f_tri after its batch norm"

    def __init__(self, channels: int, identities: int) -> None:
        super().__init__()
        self.feature_dim = channels
        self.norm = nn.BatchNorm1d(channels)
        self.classifier = nn.Linear(channels, identities, bias=False)

    def branches(self, maps: FeatureMaps) -> tuple[Branch, ...]:
        feature = _pooled(maps.last)
        return (Branch(feature, self.classifier(self.norm(feature))),)

    def embed(self, maps: FeatureMaps) -> Tensor:
        embedding: Tensor = self.norm(_pooled(maps.last))
        return embedding

    def loss_features(self, maps: FeatureMaps) -> dict[str, Tensor]:
        feature = _pooled(maps.last)
        return {"f_tri": feature, "f_fc": self.norm(feature)}


class BLNeck(nn.Module):
    """The Balance Neck: global average pool, then a fully connected layer between the two losses."""

    training_only = ("balance",)
    ranked = "f_tri"

    def __init__(self, channels: int, identities: int, embedding: int = 512) -> None:
        super().__init__()
        self.feature_dim = channels
        self.balance = Balance(channels, embedding, identities)

    def branches(self, maps: FeatureMaps) -> tuple[Branch, ...]:
        feature = _pooled(maps.last)
        return (Branch(feature, self.balance(feature)),)

    def embed(self, maps: FeatureMaps) -> Tensor:
        return _pooled(maps.last)

    def loss_features(self, maps: FeatureMaps) -> dict[str, Tensor]:
        feature = _pooled(maps.last)
        return {"f_tri": feature, "f_fc": self.balance.embedding(feature)}


class FCNeck(nn.Module):
    """OSNet's layer: global average pool -> FC -> BN -> ReLU gives the feature of losses and of inference."""

    training_only = ("classifier",)
    ranked = "the feature of both losses"

    def __init__(self, channels: int, identities: int, embedding: int = 512) -> None:
        super().__init__()
        self.feature_dim = embedding
        self.fc = nn.Sequential(
            nn.Linear(channels, embedding), nn.BatchNorm1d(embedding), nn.ReLU(inplace=True)
        )
        self.classifier = nn.Linear(embedding, identities)

    def branches(self, maps: FeatureMaps) -> tuple[Branch, ...]:
        feature = self.embed(maps)
        return (Branch(feature, self.classifier(feature)),)

    def embed(self, maps: FeatureMaps) -> Tensor:
        feature: Tensor = self.fc(_pooled(maps.last))
        return feature

    def loss_features(self, maps: FeatureMaps) -> dict[str, Tensor]:
        feature = self.embed(maps)
        return {"f_tri": feature, "f_fc": feature}


class FBLNeck(nn.Module):
    """The Fine-grained Balance Neck: BLNeck on the last map, and `stripes` pooled stripes of the squeezed
    middle map with a balance of their own. Inference: [global | stripes]; the balances are dropped."""

    training_only = ("balance", "local_balance")

    def __init__(
        self,
        channels: tuple[int, int],
        identities: int,
        *,
        embedding: int = 512,
        stripes: int = 2,
        stripe_channels: int = 128,
    ) -> None:
        super().__init__()
        self.stripes = stripes
        self.ranked = f"f_tri and {stripes} stripes"
        self.feature_dim = channels[1] + stripes * stripe_channels
        self.squeeze = nn.Conv2d(channels[0], stripe_channels, 1, bias=False)
        self.balance = Balance(channels[1], embedding, identities)
        self.local_balance = Balance(stripes * stripe_channels, embedding, identities)

    def _local(self, maps: FeatureMaps) -> Tensor:
        squeezed = self.squeeze(maps.middle)
        height = squeezed.shape[2]
        if height < self.stripes:
            raise InputError(
                f"neck.stripes: {self.stripes} stripes of a map that is {height} rows high. "
                f"Use at most {height}, or higher images."
            )
        return torch.cat([_pooled(stripe) for stripe in squeezed.tensor_split(self.stripes, dim=2)], dim=1)

    def branches(self, maps: FeatureMaps) -> tuple[Branch, ...]:
        feature, local = _pooled(maps.last), self._local(maps)
        return Branch(feature, self.balance(feature)), Branch(local, self.local_balance(local))

    def embed(self, maps: FeatureMaps) -> Tensor:
        return torch.cat([_pooled(maps.last), self._local(maps)], dim=1)

    def loss_features(self, maps: FeatureMaps) -> dict[str, Tensor]:
        feature = _pooled(maps.last)
        return {"f_tri": feature, "f_fc": self.balance.embedding(feature)}


class EmbeddingHead(nn.Module):
    """The head of Auto-ReID: f = global average pool; dropout; g = BN of a linear layer; dropout; classifier.

    Triplet acts on f, softmax on the logits. Inference takes f, or g. Source: Auto-ReID, section 3.2.
    """

    def __init__(
        self,
        channels: int,
        identities: int,
        *,
        embedding: int = 512,
        dropout: float = 0.5,
        feature: str = "f",
    ) -> None:
        super().__init__()
        self.embedding = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(channels, embedding), nn.BatchNorm1d(embedding)
        )
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding, identities))
        self.takes_g = feature == "g"
        self.ranked = feature
        self.training_only = ("classifier",) if self.takes_g else ("embedding", "classifier")
        self.feature_dim = embedding if self.takes_g else channels

    def branches(self, maps: FeatureMaps) -> tuple[Branch, ...]:
        feature = _pooled(maps.last)
        return (Branch(feature, self.classifier(self.embedding(feature))),)

    def embed(self, maps: FeatureMaps) -> Tensor:
        feature = _pooled(maps.last)
        return self.embedding(feature) if self.takes_g else feature

    def loss_features(self, maps: FeatureMaps) -> dict[str, Tensor]:
        feature = _pooled(maps.last)
        return {"f_tri": feature, "f_fc": self.embedding(feature)}


AnyNeck = BNNeck | BLNeck | FBLNeck | EmbeddingHead | FCNeck


def build_neck(neck: Neck, channels: tuple[int, int], identities: int) -> AnyNeck:
    """The neck that a recipe describes, for a backbone with these map channels."""
    if neck.name == "embedding":
        return EmbeddingHead(
            channels[1],
            identities,
            embedding=neck.embedding,
            dropout=neck.dropout,
            feature=neck.feature,
        )
    if neck.name == "fc":
        return FCNeck(channels[1], identities, neck.embedding)
    if neck.name == "bnneck":
        return BNNeck(channels[1], identities)
    if neck.name == "blneck" or neck.stripes == 0:
        return BLNeck(channels[1], identities, neck.embedding)
    return FBLNeck(
        channels,
        identities,
        embedding=neck.embedding,
        stripes=neck.stripes,
        stripe_channels=neck.stripe_channels,
    )
