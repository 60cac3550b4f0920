"""Tables as LaTeX, for `\\input` into a paper that loads booktabs. Whatever a record holds stays text."""

from __future__ import annotations

import re
import unicodedata

from analysis.pages import Grid

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\dots{}",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "→": r"$\to$",
    "\N{GREEK SMALL LETTER ALPHA}": r"$\alpha$",
    "β": r"$\beta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "τ": r"$\tau$",
    "Δ": r"$\Delta$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "ø": r"\o{}",
    "ł": r"\l{}",
}
# Combining marks behind an ASCII letter, as commands of LaTeX.
ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0308": '"',
    "\u030a": "r",
    "\u030c": "v",
    "\u0327": "c",
}
SIGNED = re.compile(r"(?<![\w.)-])[+-](?=\d)")
ALIGNMENTS = {"l": "l", "w": "p{6cm}", "r": "r"}


def _letter(character: str) -> str:
    """One character that is not ASCII: an accented letter as a command, another by its code point."""
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in ACCENTS:
        return f"\\{ACCENTS[parts[1]]}{{{parts[0]}}}"
    return f"[U+{ord(character):04X}]"


def _characters(text: str) -> str:
    return "".join(
        SPECIAL.get(letter) or (letter if letter.isascii() and letter.isprintable() else _letter(letter))
        for letter in text
    )


def latex(text: str) -> str:
    """Text on one line with everything escaped that LaTeX would take for a command; only ASCII is left.

    >>> print(latex("k_1 & 50% of {x}\\\\y"))
    k\\_1 \\& 50\\% of \\{x\\}\\textbackslash{}y
    >>> print(latex("-7.0 ± 1.2"), latex("Čech"), latex("cds-v1"))
    $-$7.0 $\\pm$ 1.2 \\v{C}ech cds-v1
    """
    text = " ".join(text.split())
    signs = [found.start() for found in SIGNED.finditer(text)]
    pieces, last = [], 0
    for place in signs:
        pieces += [_characters(text[last:place]), f"${text[place]}$"]
        last = place + 1
    return "".join([*pieces, _characters(text[last:])]).replace("--", "-{}-")


def _row(cells: tuple[str, ...]) -> str:
    # The empty group keeps a cell that begins with a bracket from being an argument of the line break.
    return "{}" + " & ".join(map(latex, cells)) + r" \\"


def latex_table(grid: Grid, name: str, page: str) -> str:
    """The grid as a table float with the rules of booktabs; its label is `tab:` and its name."""
    columns = "".join(ALIGNMENTS[letter] for letter in grid.align)
    note = [rf"\par\smallskip{{\footnotesize {latex(grid.note)}\par}}"] if grid.note else []
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(f'{page}: {grid.title}')}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row(grid.headings),
        r"\midrule",
        *map(_row, grid.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *note,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
