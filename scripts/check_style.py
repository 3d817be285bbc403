"""Style that linters do not know: lengths, names of modules, imports that go one way."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 300
LONG_FILE_LINES = 600
LONG_FILES = {
    "tvseg/evaluation/report/sections.py": "every section of a report, a function each",
    "tvseg/ops/kernels/numba/pixel_loops.py": "loops and their vectors, compiled anew together",
}
"""Files of one thing that parts would tear, and what it is."""
MAX_FUNCTION_LINES = 50
VAGUE = {"utils", "misc", "common", "helpers"}

# A module imports from its own folder and from lower floors only. The lowest are leaves.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"sweep"},
    {"evaluation"},
    {"inference", "verification", "bench", "integrations"},
    {"localizer"},
    {"training"},
    {"runs"},
    {"data", "models"},
    {"config", "device", "extras", "pages"},
    {"documents", "files", "settings", "metrics", "ops"},
    {"errors"},
]
HEIGHTS = {name: -floor for floor, names in enumerate(FLOORS) for name in names}


def folder_of(module: str) -> str:
    """Return the folder or file right below ``tvseg`` that a module is in."""
    return module.partition(".")[2].partition(".")[0]


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Modules of ours that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "tvseg.__main__"  # relative: nobody can see where it goes, so nobody may
        elif isinstance(node, ast.ImportFrom) and node.module == "tvseg":
            yield from (f"tvseg.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("tvseg."):
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tvseg"))


def complaints(path: Path) -> Iterator[str]:
    """What a file breaks."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = text.count("\n")
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    limit = LONG_FILE_LINES if name in LONG_FILES else MAX_FILE_LINES
    if lines > limit:
        yield f"{path}: {lines} lines, at most {limit}"
    if path.stem in VAGUE:
        yield f"{path}: a module is named after what it holds"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            length = node.end_lineno - node.lineno + 1 - _docstring_lines(node)
            if length > MAX_FUNCTION_LINES:
                where = f"{path}:{node.lineno}: {node.name}"
                yield f"{where} has {length} lines, at most {MAX_FUNCTION_LINES}"
    if path.is_relative_to(ROOT / "tvseg"):
        yield from _import_complaints(path, tree)


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = ast.get_docstring(node, clean=False)
    return docstring.count("\n") + 1 if docstring else 0


def _import_complaints(path: Path, tree: ast.AST) -> Iterator[str]:
    folder = folder_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if folder == "__init__":
        return
    for imported in imports_of(tree):
        other = folder_of(imported)
        if other not in (folder, "", "__version__") and HEIGHTS[other] >= HEIGHTS[folder]:
            yield f"{path}: imports {imported}, which is not on a lower floor"


def main() -> None:
    """Print every complaint; exit code 1 when there is one."""
    files = [
        path for folder in ("tvseg", "scripts", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    found = [line for path in sorted(files) for line in complaints(path)]
    print("\n".join(found) or f"style: {len(files)} files follow the rules")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
