"""Who may import whom (README, "Rooms"), and what must not be loaded behind the user's back."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "facejax"
LEAVES = {"checks", "errors"}
# room -> the rooms of facejax that it may import. Mains are not listed: they may import everything.
RULES = {
    "checks": set(),
    "errors": set(),
    "system": set(),
    "geometry": LEAVES | {"geometry"},
    "images": LEAVES,
    "losses": LEAVES | {"images"},
    "motion": LEAVES | {"geometry"},
    "metrics": LEAVES | {"geometry", "nets"},  # some figures are what a trained net says
    "audio": LEAVES | {"audio", "files", "media", "nets", "graph_weights"},
    "nets": LEAVES | {"nets", "images", "geometry"},
    "systems": LEAVES
    | {"systems", "nets", "losses", "geometry", "images", "system", "torch_weights", "motion"}
    | {"checkpoint_weights"},
    "step": LEAVES | {"system"},
    "workload": LEAVES | {"system"},
    "sharding": LEAVES,
    "checkpoints": LEAVES | {"system"},
    "torch_weights": LEAVES,
    "graph_weights": LEAVES,
    "checkpoint_weights": LEAVES | {"graph_weights", "torch_weights"},
    "files": LEAVES,
    "media": LEAVES,
    "benchmarks": LEAVES | {"benchmarks", "geometry", "files", "progress", "weights"},
    "morphable_files": LEAVES | {"geometry", "files", "morphable_sources"},
    "morphable_sources": LEAVES | {"files"},
}
MAINS = {
    "ablate", "accuracy", "animate", "build_model", "demo", "doctor", "evaluate", "gallery",
    "preprocess", "synthesize", "train",
}  # fmt: skip
TENSORFLOW_ROOMS = {"data", *MAINS}


def modules():
    return sorted(ROOT.rglob("*.py"))


def imported(path):
    """Every module that a file imports, at any depth, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "facejax":
                yield from (f"facejax.{alias.name}" for alias in node.names)


def room(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def rooms_imported(path):
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "facejax" and len(parts) > 1}


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_room_imports_only_what_it_may(name):
    files = [path for path in modules() if room(path) == name]
    assert files, f"no such room: {name}"
    for path in files:
        extra = rooms_imported(path) - RULES[name]
        assert not extra, f"{path.relative_to(ROOT)} imports {sorted(extra)}"


def test_nobody_but_another_main_imports_a_main():
    for path in modules():
        if room(path) not in MAINS | {"cli", "__main__"}:
            extra = rooms_imported(path) & MAINS
            assert not extra, f"{path.relative_to(ROOT)} imports {sorted(extra)}"


def test_only_data_and_the_mains_name_tensorflow():
    for path in modules():
        heads = {name.split(".")[0] for name in imported(path)}
        if heads & {"tensorflow", "tensorflow_datasets", "clu"}:
            assert room(path) in TENSORFLOW_ROOMS | {"reporting"}, path


def test_relative_imports_are_not_used():
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


@pytest.mark.parametrize("package", ["nets", "geometry", "systems"])
def test_importing_a_library_room_loads_neither_tensorflow_nor_opencv(package):
    """Every module of the package is imported in a fresh interpreter."""
    names = [
        ".".join(("facejax", *path.relative_to(ROOT).with_suffix("").parts))
        for path in modules()
        if room(path) == package and path.name != "__init__.py"
    ]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
bad = [name for name in ("tensorflow", "cv2") if name in sys.modules]
sys.exit(", ".join(bad) or 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
