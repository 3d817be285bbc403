"""Check style that linters do not know: lengths, names, imports that go one way."""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 300
LONG_FILE_LINES = 600
LONG_FILES = {
    "tvseg/evaluation/report/sections.py": "every section of a report, a function each",
    "tvseg/ops/kernels/numba/pixel_loops.py": "loops and their vectors, compiled anew together",
}
"""Files that may be longer because splitting would tear one thing, and what it is."""
MAX_FOLDER_FLOORS = 4
MAX_FUNCTION_LINES = 50
VAGUE = {"utils", "util", "misc", "common", "helpers", "helper", "stuff", "tools", "various"}

# A module imports from its own folder and from lower floors only. The lowest are leaves.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"sweep", "loading"},
    {"verification"},
    {"evaluation"},
    {"integrations"},
    {"inference", "bench"},
    {"localizer"},
    {"training"},
    {"runs"},
    {"data", "models"},
    {"config", "csv_files", "device", "pages", "plugins", "ray_cluster", "remote_files"},
    {"documents", "extras", "files", "settings", "metrics", "ops"},
    {"errors", "first_weights"},
]
HEIGHTS = {name: -floor for floor, names in enumerate(FLOORS) for name in names}


def folder_of(module: str) -> str:
    """Return the folder or file right below ``tvseg`` that a module is in."""
    return module.partition(".")[2].partition(".")[0]


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of ours that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "tvseg.__main__"  # relative: nobody can see where it goes, so nobody may
        elif isinstance(node, ast.ImportFrom) and node.module == "tvseg":
            yield from (f"tvseg.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("tvseg."):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("tvseg"))


def package_complaints(paths: Iterable[Path]) -> Iterator[str]:
    """Yield what the modules of ``tvseg`` break together: class names, floors in a folder."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(paths)}
    classes: dict[str, list[Path]] = {}
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes.setdefault(node.name, []).append(path)
    for name, paths_of in classes.items():
        if len(paths_of) > 1:
            yield f"{paths_of[1]}: class {name} is defined in {paths_of[0]} as well"
    for folder in sorted({path.parent for path in trees}):
        modules = {
            path.stem: tree
            for path, tree in trees.items()
            if path.parent == folder and path.stem != "__init__"
        }
        floors = _floors(modules, ".".join(folder.relative_to(ROOT).parts))
        if floors is None:
            yield f"{folder}: its modules import one another in a circle"
        elif floors > MAX_FOLDER_FLOORS:
            yield f"{folder}: {floors} floors of imports, at most {MAX_FOLDER_FLOORS}"


def _floors(modules: dict[str, ast.Module], package: str) -> int | None:
    """Return the longest chain of imports among the modules of one folder; None for a circle."""
    imported = {
        stem: {
            name.removeprefix(f"{package}.").partition(".")[0]
            for name in imports_of(tree)
            if name.startswith(f"{package}.")
        }
        & (modules.keys() - {stem})
        for stem, tree in modules.items()
    }
    heights: dict[str, int] = {}
    while len(heights) < len(modules):
        ready = {m for m in modules.keys() - heights.keys() if imported[m] <= heights.keys()}
        if not ready:
            return None
        floor = max(heights.values(), default=0) + 1
        heights |= dict.fromkeys(ready, floor)
    return max(heights.values(), default=0)


def complaints(path: Path) -> Iterator[str]:
    """Yield what a file breaks."""
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
    found += package_complaints(path for path in files if path.is_relative_to(ROOT / "tvseg"))
    print("\n".join(found) or f"style: {len(files)} files follow the rules")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
