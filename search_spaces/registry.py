"""Every search space by its versioned id. A change that alters results is a new version."""

from __future__ import annotations

from importlib.metadata import entry_points

from search_spaces.cell_space import CellSpace
from search_spaces.combined_depth import CombinedDepthSpace
from search_spaces.errors import InputError, unknown
from search_spaces.osnet import osnet_space
from search_spaces.places import BASE, DARTS, REID
from search_spaces.residual import resnet_space
from search_spaces.space import SearchSpace

GROUP = "autoreid.spaces"

SPACES: dict[str, SearchSpace] = {
    "base-v1": CellSpace("base-v1", BASE),
    "reid-v1": CellSpace("reid-v1", REID),
    "darts8-v1": CellSpace("darts8-v1", DARTS),
    "cs-v1": CombinedDepthSpace("cs-v1"),
    "cds-v1": CombinedDepthSpace("cds-v1", depths=(1, 2)),
    "cds-std-v1": CombinedDepthSpace("cds-std-v1", depths=(1, 2), standard=True),
    "resnet-v1": resnet_space("resnet-v1"),
    "resnet-stride1-v1": resnet_space("resnet-stride1-v1", last_stride=1),
    "osnet-v1": osnet_space("osnet-v1"),
}


def find_space(space_id: str, place: str = "space") -> SearchSpace:
    """The space of an id: a built-in one, or one that an installed package offers as an entry point."""
    if space_id in SPACES:
        return SPACES[space_id]
    others = {entry.name: entry for entry in entry_points(group=GROUP)}
    if space_id in others:
        try:
            found: SearchSpace = others[space_id].load()
        except Exception as error:  # a plug-in may fail in any way
            raise InputError(
                f"{place}: the plug-in of {space_id!r} could not be loaded: {error!r}"
            ) from error
        return found
    raise InputError(f"{place}: {unknown('space', space_id, [*SPACES, *others])}")
