"""A table as LaTeX, for a paper: booktabs, no other package."""

import re

from tvseg.evaluation.tables.table import Cell, Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
}
_NUMBERS = re.compile(r"[-+±\d.,\[\] ]+")


def to_latex(table: Table) -> str:
    r"""Return a table as a LaTeX ``table*`` environment that needs ``\usepackage{booktabs}``."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\begin{{tabular}}{{{'l' * table.heads}{'r' * (len(table.columns) - table.heads)}}}",
        r"\toprule",
        _row([escape(column) for column in table.columns]),
    ]
    for number, row in enumerate(table.rows):
        begins = table.begins_block(number)
        if begins and (number == 0 or table.heads > 1):
            lines.append(r"\midrule")
        elif number in table.feet:
            lines.append(rf"\cmidrule(l){{2-{len(table.columns)}}}")
        heads = [escape(cell.text) for cell in row[: table.heads]]
        heads[0] = heads[0] if begins else ""
        lines.append(_row([*heads, *map(_cell, row[table.heads :])]))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Return text as LaTeX prints it.

    Example:
        >>> escape("my_net: 5 %")
        'my\\_net: 5 \\%'
    """
    return "".join(_SPECIAL.get(character, character) for character in text)


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    if not cell.text:
        return "--"
    if _NUMBERS.fullmatch(cell.text):
        value = cell.text.replace("±", r"\pm")
        shown = rf"$\mathbf{{{value}}}$" if cell.bold else f"${value}$"
    else:
        shown = rf"\textbf{{{escape(cell.text)}}}" if cell.bold else escape(cell.text)
    return rf"{shown} {{\scriptsize {escape(cell.note)}}}" if cell.note else shown
