"""The command `model`: portable model files. Nothing heavy is imported before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoreid.cli import DONE, Command, add_json_flag, answer
from autoreid.errors import InputError
from autoreid.folders import amount, expanded
from autoreid.model_places import checkpoint_file, read_checkpoint
from autoreid.outputs import new_file
from autoreid.whole_files import output_file
from autoreid.words import counted

if TYPE_CHECKING:
    from autoreid.portable import Facts

ENDING = ".safetensors"


def _configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    pack = verbs.add_parser("pack", help="one file with weights, preprocessing, metrics and a model card")
    pack.add_argument("checkpoint", metavar="CHECKPOINT", help="model.pt of a training, or its folder")
    pack.add_argument(
        "--with-classifier", action="store_true", help="keep what only training needs, and whom it knows"
    )
    _add_file_flags(pack)
    pack.set_defaults(run_verb=_pack)

    convert = verbs.add_parser("from-torchreid", help="one file from a checkpoint of Torchreid's OSNet")
    convert.add_argument("checkpoint", metavar="FILE", help="checkpoint or state dict, such as model.pth.tar")
    convert.add_argument("--height", type=int, default=256, help="of the images it learned from (256)")
    convert.add_argument("--width", type=int, default=128, help="of these images (128)")
    _add_file_flags(convert)
    convert.set_defaults(run_verb=_convert)

    show = verbs.add_parser("show", help="what a model file says of its network")
    show.add_argument("checkpoint", metavar="FILE", help="portable file, model.pt, or its folder")
    add_json_flag(show)
    show.set_defaults(run_verb=_show)

    card = verbs.add_parser("card", help="the model card of a model file, in Markdown")
    card.add_argument("checkpoint", metavar="FILE", help="portable file, model.pt, or its folder")
    card.set_defaults(run_verb=_card)


def _add_file_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write: NAME.safetensors")
    parser.add_argument(
        "--licence",
        metavar="SPDX",
        help="licence of the weights, such as CC-BY-NC-4.0; LicenseRef-NAME where it is no well-known one",
    )
    parser.add_argument("--card", metavar="FILE", help="Markdown that is added to the model card")
    parser.add_argument(
        "--data-set", metavar="NAME", help="what it was trained on, where no storage tells it"
    )
    add_json_flag(parser)


def _run(options: argparse.Namespace) -> int:
    code: int = options.run_verb(options)
    return code


def _pack(options: argparse.Namespace) -> int:
    path, out = checkpoint_file(options.checkpoint), new_file(options.out, "--out", ENDING)
    words = _words(options.card) if options.card else ""

    from autoreid.portable_packing import pack

    data = pack(
        path,
        licence=options.licence,
        words=words,
        data_set=options.data_set,
        classifier=options.with_classifier,
    )
    return _written(out, data, options)


def _convert(options: argparse.Namespace) -> int:
    path, out = expanded(options.checkpoint), new_file(options.out, "--out", ENDING)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Give a checkpoint of Torchreid's OSNet.")
    words = _words(options.card) if options.card else ""

    from autoreid.portable_torchreid import convert

    data = convert(
        path,
        height=options.height,
        width=options.width,
        licence=options.licence,
        words=words,
        data_set=options.data_set,
    )
    return _written(out, data, options)


def _written(out: Path, data: bytes, options: argparse.Namespace) -> int:
    with output_file(out) as file:
        file.write(data)
    answer({"file": options.out, "bytes": len(data)}, f"{options.out}: {amount(len(data))}", options.json)
    return DONE


def _words(given: str) -> str:
    try:
        return expanded(given).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"--card: {given}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise InputError(f"--card: {given}: not a text in UTF-8. Give Markdown.") from None


def _known(options: argparse.Namespace) -> Facts:
    from autoreid.portable_packing import opened

    path = checkpoint_file(options.checkpoint)
    return opened(read_checkpoint(path), path)[1]


def _show(options: argparse.Namespace) -> int:
    from autoreid.portable import OF_NETWORK

    facts = _known(options)
    plain = facts.plain()
    if not facts.trained_here:
        plain["recipe"] = {name: plain["recipe"][name] for name in OF_NETWORK}
    answer(plain, _text(plain, facts), options.json)
    return DONE


def _text(plain: dict[str, Any], facts: Facts) -> str:
    from autoreid.evaluation.words import scores_text
    from autoreid.size_words import neck_text, sizes_of, sizes_text

    shown, data, recipe = plain["preprocessing"], plain["data"], plain["recipe"]
    scores = {"mAP_low": None} | dict(plain["metrics"] or {})  # an older release gave no intervals
    classifier = "left out" if plain["order"] is None else "in the file"
    choices = ", ".join(f"{place} {option}" for place, option in plain["genotype"]["choices"].items())
    made = (
        f"{what} by {', '.join(f'{name} {version}' for name, version in programs.items())}"
        for what, programs in (plain["versions"] or {}).items()
    )
    lines = {
        "network": f"{plain['genotype']['space']}: {choices}",
        "sizes": sizes_text(sizes_of(facts.genotype.space, facts.recipe.macro)) or "one for all",
        "neck": neck_text(facts.recipe.neck),
        "image": f"{shown['height']} x {shown['width']}, {shown['channels']}, {shown['interpolation']}",
        "training": counted(recipe["epochs"], "epoch") if "epochs" in recipe else "not known",
        "identities": f"{plain['identities'] or 'not known'}, classifier {classifier}",
        "data": f"{data['set'] or 'not known'}, fingerprint {(data['fingerprint'] or 'not known')[:12]}",
        "metrics": "not known" if plain["metrics"] is None else scores_text(scores),
        "made": "; ".join(made) or "not known",
        "licence": plain["licence"] or "not stated",
    }
    return "\n".join(f"{name:<11} {value}" for name, value in lines.items())


def _card(options: argparse.Namespace) -> int:
    from autoreid.portable_card import draw_card

    facts = _known(options)
    print((facts.card or draw_card(facts)).rstrip("\n"), flush=True)
    return DONE


MODEL = Command("model", "Portable model files: one file with all that it takes.", _configure, _run)
