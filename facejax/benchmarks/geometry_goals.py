"""What the geometry of facejax is held to.

Times of rasterisation are held to a C z-buffer of one thread drawing ids alone, fits to NumPy a
frame at a time; both on the CPU. An accelerator is held to frames a second.
"""

from facejax.benchmarks.cases import LARGE_MESH, REFERENCE, Case
from facejax.benchmarks.compare import OURS
from facejax.benchmarks.goals import Goal, at_least, at_most

TEMP_MB = 16  # whatever the batch on a CPU, a frame on an accelerator
COMPILE_IDS, COMPILE_RENDER = 2.5, 6  # s


def ids(case: Case, platform: str) -> list[Goal]:
    """The triangle under each pixel."""
    if case.px != REFERENCE:
        return []
    if platform != "cpu":
        large = case.mesh == LARGE_MESH and case.batch == 32
        return [at_least(f"PyTorch3D / {OURS}", 5)] if large else []
    found = [
        at_most(f"{OURS} / C loop", 1.25 if case.coarse else 0.75),
        at_most("compile s", COMPILE_IDS),
        *_memory(case),
    ]
    if case.batch == 1 and case.coarse:
        found.append(at_least(f"PyTorch3D / {OURS}", 300))
    if case.batch == 1 and case.mesh == LARGE_MESH:
        found.append(at_least(f"PyTorch3D / {OURS}", 4000))
    return found


def surface(case: Case, platform: str) -> list[Goal]:
    """Ids, weights and depth: the forward pass that an accelerator's goals speak of."""
    if platform == "cpu" or case.mesh != LARGE_MESH or case.px != REFERENCE:
        return []
    found = [at_most("temp MB a frame", TEMP_MB)]
    if case.batch == 1:
        found.append(at_most("ms", 0.6))
    if case.batch == 32:
        found.append(at_least("frames/s", 10_000))
    return found


def interpolation(case: Case, platform: str) -> list[Goal]:
    """Ids and three interpolated channels."""
    if platform != "cpu" or case.px != REFERENCE:
        return []
    return [at_most(f"{OURS} / C ids", 1.5 if case.coarse else 1.0)]


def gradients(case: Case, platform: str) -> list[Goal]:
    """Forward and backward."""
    if case.px != REFERENCE:
        return []
    if platform != "cpu":
        large = case.mesh == LARGE_MESH and case.batch == 32
        return [at_least("frames/s", 4000)] if large else []
    return [
        at_most(f"{OURS} / C ids", 3 if case.coarse else 1.7),
        at_most("compile s", COMPILE_RENDER),
        *_memory(case),
    ]


def outline(case: Case, platform: str) -> list[Goal]:
    """Edge coverage or splat, forward and backward."""
    if platform != "cpu" or case.px != REFERENCE:
        return []
    return [at_most(f"{OURS} / ids", 5)]


def soft(case: Case, platform: str) -> list[Goal]:
    """The soft silhouette of the nearest layers, forward and backward."""
    if platform != "cpu" or case.px != REFERENCE or case.batch != 1:
        return []
    return [at_least(f"PyTorch3D / {OURS}", 30)]


def procrustes(points: int, batch: int, platform: str) -> list[Goal]:
    """The similarity between two point sets."""
    found = [at_most("rotation error", 5e-6)]
    if platform == "cpu":
        speed = {(5000, 64): 3.5, (68, 64): 10.0}.get((points, batch), 0.9 if batch == 1 else None)
        found += [] if speed is None else [at_least(f"NumPy / {OURS}", speed)]
    return found


def affine(points: int) -> list[Goal]:
    """The affine camera of a point set."""
    return [at_most("reprojection px", 2e-4)] if points > 50_000 else []


def coefficients(points: int, batch: int, platform: str) -> list[Goal]:
    """Dense coefficients of a fixed basis.

    For 5,000 points NumPy's product of one frame already runs at a third of the speed of the
    fastest product of all: no factor is asked for there.
    """
    found = [at_most("coefficient error", 1e-5)]
    speed = {1: 0.85, 64: 8.0 if points > 5000 else None}.get(batch)
    if platform == "cpu" and speed:
        found.append(at_least(f"NumPy / {OURS}", speed))
    return found


def projected(points: int, batch: int, platform: str) -> list[Goal]:
    """Coefficients seen through a camera of each frame's own."""
    found = [at_most("coefficient error", 1e-5)]
    if platform == "cpu" and batch == 64:
        found.append(at_least(f"SciPy / {OURS}", 20 if points <= 5000 else 60))
    return found


def _memory(case: Case) -> list[Goal]:
    """Temporaries of meshes up to the size of a morphable model's."""
    return [] if case.mesh == "dense-421k" else [at_most("temp MB", TEMP_MB)]
