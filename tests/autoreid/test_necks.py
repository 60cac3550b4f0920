"""Necks against plain loops, and what each keeps at inference."""

from __future__ import annotations

import pytest
import torch

from autoreid.errors import InputError
from autoreid.models.assembly import build_network, initialise
from autoreid.models.necks import BLNeck, BNNeck, FBLNeck, FCNeck, build_neck
from autoreid.recipes import Neck
from search_spaces.macro import Macro
from search_spaces.published import PUBLISHED
from search_spaces.space import FeatureMaps


def maps(height: int = 7) -> FeatureMaps:
    generator = torch.Generator().manual_seed(0)
    return FeatureMaps(
        torch.randn(4, 6, height, 3, generator=generator), torch.randn(4, 8, height, 3, generator=generator)
    )


@pytest.mark.parametrize("stripes", [1, 2, 3, 4])
def test_stripes_are_pooled_as_in_a_plain_loop(stripes: int) -> None:
    neck = FBLNeck((6, 8), 5, embedding=16, stripes=stripes, stripe_channels=4).eval()
    squeezed = neck.squeeze(maps().middle)
    # Contiguous stripes; the first ones take the rows that do not divide.
    sizes = [7 // stripes + (number < 7 % stripes) for number in range(stripes)]
    assert sum(sizes) == 7
    parts, row = [maps().last.mean((2, 3))], 0
    for size in sizes:
        parts.append(torch.stack([squeezed[:, :, r].mean(2) for r in range(row, row + size)]).mean(0))
        row += size
    torch.testing.assert_close(neck.embed(maps()), torch.cat(parts, 1))
    assert neck.embed(maps()).shape[1] == neck.feature_dim == 8 + 4 * stripes


def test_fblneck_has_two_pairs_of_losses() -> None:
    neck = FBLNeck((6, 8), 5, embedding=16, stripes=2, stripe_channels=4)
    first, second = neck.branches(maps())
    assert (first.feature.shape, first.logits.shape) == ((4, 8), (4, 5))
    assert (second.feature.shape, second.logits.shape) == ((4, 8), (4, 5))
    torch.testing.assert_close(torch.cat([first.feature, second.feature], 1), neck.embed(maps()))


def test_blneck_embeds_what_the_triplet_loss_sees() -> None:
    neck = BLNeck(8, 5, 16)
    (branch,) = neck.branches(maps())
    torch.testing.assert_close(branch.feature, neck.embed(maps()))


def test_bnneck_embeds_what_its_norm_makes_of_it() -> None:
    neck = BNNeck(8, 5).eval()
    neck.norm.running_mean.fill_(1.0)
    (branch,) = neck.branches(maps())
    torch.testing.assert_close(branch.feature, maps().last.mean((2, 3)))
    torch.testing.assert_close(neck.embed(maps()), (branch.feature - 1) / (1 + 1e-5) ** 0.5)


def test_both_losses_act_on_the_feature_of_osnets_layer() -> None:
    neck = FCNeck(8, 5, 16)
    (branch,) = neck.branches(maps())
    linear, norm, _ = neck.fc
    hidden = maps().last.mean((2, 3)) @ linear.weight.T + linear.bias
    centred = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + norm.eps).sqrt()
    torch.testing.assert_close(branch.feature, centred.clamp_min(0))
    torch.testing.assert_close(branch.logits, neck.classifier(branch.feature))
    assert neck.embed(maps()).shape[1] == neck.feature_dim == 16


@pytest.mark.parametrize(
    ("neck", "kind"),
    [
        (Neck(name="bnneck"), BNNeck),
        (Neck(name="blneck"), BLNeck),
        (Neck(name="fblneck", stripes=0), BLNeck),
        (Neck(name="fblneck"), FBLNeck),
        (Neck(name="fc"), FCNeck),
    ],
)
def test_recipes_name_the_necks(neck: Neck, kind: type) -> None:
    assert type(build_neck(neck, (6, 8), 5)) is kind


@pytest.mark.parametrize("name", ["bnneck", "blneck", "fblneck", "fc"])
def test_inference_does_not_need_what_training_only_holds(name: str) -> None:
    neck = build_neck(Neck(name=name), (6, 8), 5).eval()
    before = neck.embed(maps())
    for part in neck.training_only:
        delattr(neck, part)
    torch.testing.assert_close(neck.embed(maps()), before)


def test_more_stripes_than_rows_are_named() -> None:
    neck = FBLNeck((6, 8), 5, stripes=4)
    with pytest.raises(InputError, match="4 stripes of a map that is 3 rows high"):
        neck.embed(maps(height=3))


def test_initial_weights_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        model = build_network(PUBLISHED["cnet-top2"], Neck(), 5, Macro(width_multiplier=0.1))
        initialise(model, torch.Generator().manual_seed(seed))
        return model.state_dict()

    one, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(one[name], again[name]) for name in one)
    stem = "backbone.trunk.stem.0.weight"
    assert not torch.equal(one[stem], other[stem])
