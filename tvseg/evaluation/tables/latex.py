"""The table as LaTeX, for a paper: booktabs, no other package."""

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


def to_latex(table: Table) -> str:
    r"""A table as a LaTeX ``table*`` environment that needs ``\usepackage{booktabs}``.

    Args:
        table: The table.

    Returns:
        Its caption, heads, and a block a metric with its mean at the foot.
    """
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\begin{{tabular}}{{lll{'r' * len(table.variants)}}}",
        r"\toprule",
        _row([escape(head) for head in table.heads]),
    ]
    previous = None
    for line in table.lines:
        first = line.metric != previous
        if first:
            lines.append(r"\midrule")
        elif line.is_foot:
            lines.append(rf"\cmidrule(l){{2-{len(table.heads)}}}")
        metric = escape(line.metric) if first else ""
        cells = [_cell(cell) for cell in line.cells]
        lines.append(_row([metric, escape(line.task), escape(line.centre), *cells]))
        previous = line.metric
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Text as LaTeX prints it.

    Example:
        >>> escape("my_net: 5 %")
        'my\\_net: 5 \\%'
    """
    return "".join(_SPECIAL.get(character, character) for character in text)


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    value = cell.value.replace("±", r"\pm")
    shown = rf"\mathbf{{{value}}}" if cell.is_best else value
    return rf"${shown}$ {{\scriptsize {cell.note}}}"
