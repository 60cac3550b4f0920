"""Networks timed side by side: the order of turns, the figures of their seconds, memory, every network."""

from __future__ import annotations

import itertools
import statistics
import typing
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from autoreid.complexity import inference_part, measure
from autoreid.execution import Execution
from autoreid.latency import WARM_UP, Bench, Subject, Timed, random_pixels, stopwatch_of
from autoreid.latency_memory import counted_peak
from autoreid.latency_recipes import AT_INFERENCE, Build, LatencyRecipe, inference_neck
from autoreid.latency_rounds import interleaved, median_ratio, spread
from autoreid.models.assembly import build_network, initialise
from autoreid.recipes import Neck, TrainRecipe
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED
from search_spaces.registry import find_space

CPU, EXECUTION = torch.device("cpu"), Execution(device="cpu", threads=1)
SMALL = Build(64, 32, width_multiplier=0.25, channels=4, layers=(1, 1, 1, 1), neck=Neck(name="bnneck"))


def small_build(genotype: Genotype) -> Build:
    """The smallest that a test needs, of the sizes that a space has."""
    scales = find_space(genotype.space).scales
    usual = Build()
    given = {name: getattr(usual, name) for name in ("width_multiplier", "channels", "layers")}
    return replace(SMALL, **{name: value for name, value in given.items() if name not in scales})


class FakeTime:
    """A clock that gives each network its own seconds a batch, and notes who was called."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = {place: itertools.cycle([one]) for place, one in enumerate(seconds)}
        self.called: list[tuple[int, int]] = []

    def bench(self, recipe: LatencyRecipe) -> Bench:
        subjects = [Subject(f"n{place}", PUBLISHED["cdnet-top2"], SMALL) for place in self.seconds]
        bench = Bench(
            subjects,
            recipe,
            CPU,
            EXECUTION,
            pixels=random_pixels(max(recipe.batch), CPU),
            stopwatch=self.take,
        )
        for place in self.seconds:
            bench.calls[place] = lambda images, place=place: self.called.append((place, len(images)))
        return bench

    def take(self, call: Callable[[], object]) -> float:
        call()
        place, images = self.called[-1]
        return next(self.seconds[place]) * images


def test_networks_take_turns_and_each_round_begins_with_another_one() -> None:
    time = FakeTime(1.0, 2.0, 4.0)
    time.bench(LatencyRecipe(batch=(2,), images=5, passes=3)).run()
    counted = time.called[3 * 2 * WARM_UP :]
    turns = [place for place, _ in itertools.groupby(place for place, _ in counted)]
    assert turns == [0, 1, 2, 1, 2, 0, 2, 0, 1]
    assert [images for _, images in counted] == [2, 2, 1] * 9


def test_all_batch_sizes_take_turns_too() -> None:
    time = FakeTime(1.0, 2.0)
    found = time.bench(LatencyRecipe(batch=(1, 4), images=4, passes=2)).run()
    assert [(one.subject.name, one.batch) for one in found] == [("n0", 1), ("n1", 1), ("n0", 4), ("n1", 4)]
    counted = time.called[2 * 2 * WARM_UP :]
    assert [key for key, _ in itertools.groupby(counted)] == [
        *((0, 1), (1, 1), (0, 4), (1, 4)),
        *((1, 1), (0, 4), (1, 4), (0, 1)),
    ]


def test_figures_are_those_of_an_independent_calculation() -> None:
    random = np.random.default_rng(0)
    time = FakeTime(0.0, 0.0, 0.0)
    drawn: dict[int, list[float]] = {place: [] for place in range(3)}

    def draws(place: int) -> typing.Iterator[float]:
        while True:
            drawn[place].append(float(random.gamma(4.0, 0.01)))
            yield drawn[place][-1]

    time.seconds = {place: draws(place) for place in range(3)}
    passes, images, batch = 7, 11, 4
    found = time.bench(LatencyRecipe(batch=(batch,), images=images, passes=passes)).run()
    sums: list[np.ndarray] = []
    for place, one in enumerate(found):
        seconds = np.array(drawn[place][2 * WARM_UP :]).reshape(passes, 3) * [4, 4, 3]
        sums.append(seconds.sum(axis=1))
        full = seconds[:, :2].ravel()
        plain = one.plain()
        assert plain["batch_milliseconds"] == pytest.approx(1000 * np.median(full))
        low, high = np.percentile(full, [25, 75])
        assert plain["batch_milliseconds_iqr"] == pytest.approx(1000 * (high - low))
        assert plain["image_milliseconds"] == pytest.approx(1000 * np.median(full) / batch)
        assert plain["images_per_second"] == pytest.approx(batch / np.median(full))
        assert plain["passes_seconds"] == pytest.approx(list(sums[-1]))
        assert plain["pass_seconds"] == pytest.approx(sums[-1].mean())
        assert plain["times_as_fast"] == pytest.approx(np.median(sums[0] / sums[-1]))


def test_a_machine_that_becomes_slower_changes_no_ratio() -> None:
    time = FakeTime(1.0, 0.5)
    slower = itertools.count(1.0)
    take = time.take
    bench = time.bench(LatencyRecipe(batch=(2,), images=2, passes=9))
    pace: list[float] = []

    def drifting(call: Callable[[], object]) -> float:
        pace.append(next(slower))
        return take(call) * (1 + 0.001 * pace[-1])

    bench.stopwatch = drifting
    first, second = bench.run()
    assert first.times_as_fast == 1
    assert second.times_as_fast == pytest.approx(2.0, rel=0.01)
    assert first.batch_seconds.iqr > 0


def test_medians_ratios_and_quartiles() -> None:
    assert spread([3.0]).iqr == 0
    values = [5.0, 1.0, 4.0, 2.0, 8.0, 7.0]
    found = spread(values)
    assert (found.low, found.median, found.high) == pytest.approx(tuple(np.percentile(values, [25, 50, 75])))
    assert median_ratio([10, 12, 40], [2, 4, 5]) == statistics.median([5, 3, 8])
    assert median_ratio([1.0], [0.0]) > 0
    assert interleaved([], 3) == [] and interleaved([lambda: 1], 2) == [[1, 1]]


# The first network of each space in the default tier, all others in the slow one.
FIRST = {genotype.space: name for name, genotype in reversed(PUBLISHED.items())}.values()


@pytest.mark.parametrize(
    "name", [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED]
)
def test_every_published_network_is_timed(name: str) -> None:
    build = small_build(PUBLISHED[name])
    recipe = LatencyRecipe(batch=(2,), images=2, passes=1)
    subject = Subject(name, PUBLISHED[name], build)
    bench = Bench(
        [subject], recipe, CPU, EXECUTION, pixels=random_pixels(2, CPU), stopwatch=stopwatch_of(CPU)
    )
    (found,) = bench.run()
    plain = found.plain()
    assert 0 < plain["batch_milliseconds"] < 60_000 and plain["batch_milliseconds_iqr"] == 0
    inside = sum(parameter.numel() for parameter in bench.models[0].parameters())
    assert plain["parameters"] == inside
    assert plain["peak_memory_bytes"] > 4 * inside
    with torch.inference_mode():
        assert bench.models[0](torch.zeros(2, 3, 64, 32)).shape == (2, plain["feature_dim"])


@pytest.mark.parametrize("neck", typing.get_args(typing.get_type_hints(Neck)["name"]))
def test_what_inference_does_not_see_of_a_neck_changes_no_feature(neck: str) -> None:
    given = Neck(name=neck, embedding=64, stripes=1, stripe_channels=16, dropout=0.25, feature="g")
    assert neck in AT_INFERENCE
    models = [
        build_network(PUBLISHED["cdnet-top2"], one, 3, SMALL.macro).eval()
        for one in (given, inference_neck(given))
    ]
    initialise(models[0], torch.Generator().manual_seed(0))
    parts = [inference_part(model) for model in models]
    parts[1].load_state_dict(parts[0].state_dict())
    images = torch.rand(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(parts[0](images), parts[1](images))


def test_what_only_training_has_makes_no_other_network() -> None:
    recipe = TrainRecipe(neck=Neck(name="fblneck"), epochs=3, drop_path=0.2)
    assert Build.of(recipe) == Build.of(replace(recipe, epochs=9, drop_path=0.0))
    assert Build.of(recipe) != Build.of(replace(recipe, neck=Neck(stripes=1)))
    assert Build.of(recipe) != Build.of(replace(recipe, height=128))


def test_memory_holds_the_network_and_the_images_and_grows_by_the_image() -> None:
    genotype = PUBLISHED["cdnet-top2"]
    one, two, three = (counted_peak(genotype, SMALL, "fp32", batch).peak for batch in (1, 2, 3))
    parameters = measure(
        genotype, SMALL.neck, identities=1, height=64, width=32, macro=SMALL.macro
    ).params.inference
    assert three - two == two - one >= 12 * 64 * 32
    assert one > 4 * parameters + 12 * 64 * 32
    assert counted_peak(genotype, SMALL, "bf16", 64).peak < counted_peak(genotype, SMALL, "fp32", 64).peak


def test_weights_are_cast_once_for_all_batches_in_bfloat16() -> None:
    subject = Subject("a", PUBLISHED["cdnet-top2"], SMALL)
    recipe = LatencyRecipe(batch=(1,), images=1, passes=1, precision="bf16")
    pixels, watch = random_pixels(1, CPU), stopwatch_of(CPU)
    bench = Bench([subject], recipe, CPU, EXECUTION, pixels=pixels, stopwatch=watch)
    cast = []
    with bench.inferring():
        for _ in range(2):
            with torch.profiler.profile() as profile:
                bench.seconds(0, 1)
            events = {event.key: event.count for event in profile.key_averages()}
            cast.append(events["aten::_to_copy"])
    weights = sum(
        len(part.weight.shape) == 4 for part in bench.models[0].modules() if hasattr(part, "weight")
    )
    assert cast[0] - cast[1] >= weights


def test_a_pass_asks_to_stop_between_batches() -> None:
    asked: list[int] = []
    recipe = LatencyRecipe(batch=(1,), images=2, passes=2)
    Bench(
        [Subject("a", PUBLISHED["cdnet-top2"], SMALL)],
        recipe,
        CPU,
        EXECUTION,
        pixels=random_pixels(1, CPU),
        stopwatch=lambda call: 1.0,
        pulse=lambda: asked.append(1),
    ).run()
    assert len(asked) == WARM_UP + 4


def test_the_answer_names_network_and_size() -> None:
    time = FakeTime(1.0)
    (found,) = time.bench(LatencyRecipe(batch=(2,), images=2, passes=1)).run()
    assert isinstance(found, Timed)
    plain = found.plain()
    assert (plain["model"], plain["height"], plain["width"], plain["neck"]) == ("n0", 64, 32, "bnneck")
    assert plain["peak_memory_source"] == "counted"


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        (LatencyRecipe(batch=()), "batch"),
        (LatencyRecipe(batch=(4, 4)), "batch"),
        (LatencyRecipe(batch=(4, 8), images=7), "images"),
    ],
)
def test_recipes_that_cannot_be_timed(recipe: LatencyRecipe, field: str) -> None:
    ((found, message),) = recipe.problems()
    assert found == field and message.endswith(".")


def test_the_defaults_are_those_of_table_12() -> None:
    recipe = LatencyRecipe()
    assert (recipe.batch, recipe.images, recipe.passes) == ((128,), 3_368 + 15_913, 5)
    assert not list(recipe.problems())


@pytest.mark.gpu
def test_a_gpu_is_waited_for_and_its_allocator_asked() -> None:
    device = torch.device("cuda")
    recipe = LatencyRecipe(batch=(8,), images=16, passes=3)
    subjects = [
        Subject(name, PUBLISHED[name], Build(neck=Neck(name="bnneck"))) for name in ("resnet18", "resnet50")
    ]
    bench = Bench(
        subjects,
        recipe,
        device,
        Execution(device="cuda"),
        pixels=random_pixels(8, device),
        stopwatch=stopwatch_of(device),
    )
    small, large = bench.run()
    assert large.batch_seconds.median > small.batch_seconds.median > 1e-4
    assert large.times_as_fast < 1
    for found in (small, large):
        counted = counted_peak(found.subject.genotype, found.subject.build, "fp32", 8).peak
        assert found.memory.source == "allocator"
        assert 0.8 * counted < found.memory.peak < 3 * counted
