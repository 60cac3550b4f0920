"""What networks took at inference, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoreid.size_words import described_text, difference_text
from autoreid.words import counted

MEMORY_WORDS = {
    "allocator": "the most that torch's allocator held for a batch, the model included",
    "counted": "the sizes of the tensors of a batch, the model included",
}


def text_of(result: Mapping[str, Any]) -> str:
    """The answer for people: what was done, a line for each model and batch, and how to read them."""
    images, passes = counted(result["images"], "image"), counted(result["passes"], "pass", "passes")
    done = f"{passes} of {images}, {result['pixels']} pixels"
    if result["changed"]:
        done = f"Table 12's protocol, changed to {done}"
    elif result["protocol"]:
        done = f"Table 12's protocol: {done}"
    rows = result["models"]
    width = max(len("model"), *(len(row["model"]) for row in rows))
    heads = f"{'model':<{width}} {'batch':>5} {'ms a batch':>10} {'spread':>8} {'ms an image':>11} "
    heads += f"{'images/s':>9} {'times as fast':>13} {'s a pass':>9} {'parameters':>11} "
    heads += f"{'multiply-adds':>14} {'memory MiB':>10}"
    lines = [
        f"{row['model']:<{width}} {row['batch']:>5} {row['batch_milliseconds']:>10.2f} "
        f"{row['batch_milliseconds_iqr']:>8.2f} {row['image_milliseconds']:>11.3f} "
        f"{row['images_per_second']:>9.1f} {row['times_as_fast']:>13.2f} {row['pass_seconds']:>9.2f} "
        f"{row['parameters']:>11,} {row['multiply_adds']:>14,} {row['peak_memory_bytes'] / 2**20:>10.1f}"
        for row in rows
    ]
    networks = [row for row in rows if row["batch"] == rows[0]["batch"]]
    source = MEMORY_WORDS[rows[0]["peak_memory_source"]]
    return "\n".join(
        [
            f"{result['device']}, {counted(result['threads'], 'thread')}, {result['precision']}, "
            f"forms: {result['forms']}; {done}",
            heads,
            *lines,
            *(f"{row['model']:<{width}} {described_text(row)}" for row in networks),
            *filter(None, [difference_text(networks)]),
            f"Medians; spread: between the quartiles. Times as fast as {rows[0]['model']}, pass by pass. "
            f"Memory: {source}.",
        ]
    )
