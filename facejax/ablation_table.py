"""The table of an ablation: figures beside the paper's, and which orderings hold."""

from collections.abc import Mapping
from typing import Any

# Chen et al., ECCV 2020, arXiv:2007.08547: Table 3 and, for K, Table 2, both on VoxCeleb2.
PAPER: dict[str, dict[str, float]] = {
    "full": {"ssim": 0.71, "csim": 0.44},
    "without 3D-aware": {"ssim": 0.61, "csim": 0.21},
    "without hybrid attention": {"ssim": 0.73, "csim": 0.37},
    "without non-linear composition": {"ssim": 0.69, "csim": 0.40},
    "without warping": {"ssim": 0.67, "csim": 0.34},
    "baseline": {"ssim": 0.67, "csim": 0.19},
    "K = 1": {"ssim": 0.71, "csim": 0.44},
    "K = 8": {"ssim": 0.71, "csim": 0.50},
    "K = 32": {"ssim": 0.78, "csim": 0.58},
}
FIGURES = ("ssim", "csim", "lmd")
TIE = 0.0005  # figures nearer than this are equal


def orderings(rows: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Returns, for each pair that the paper orders, whether these rows order it so.

    Pairs are the full model with each ablation (Table 3) and neighbouring K (Table 2), by SSIM and
    by CSIM. {"better", "worse": rows, "figure", "holds": bool}; equal in the paper: left out.

    Args:
      rows: name -> figures; of `PAPER`'s names those that there are.
    """
    shots = [f"K = {k}" for k in (1, 8, 32)]
    pairs = [("full", name) for name in PAPER if name not in ("full", *shots)]
    pairs += list(zip(shots[1:], shots, strict=False))
    found = []
    for one, other in pairs:
        if one not in rows or other not in rows:
            continue
        for figure in ("ssim", "csim"):
            gain = PAPER[one][figure] - PAPER[other][figure]
            if abs(gain) < TIE:
                continue
            better, worse = (one, other) if gain > 0 else (other, one)
            holds = rows[better][figure] > rows[worse][figure]
            found.append({"better": better, "worse": worse, "figure": figure, "holds": holds})
    return found


def markdown(rows: Mapping[str, Mapping[str, float]], found: list[dict[str, Any]]) -> str:
    """Returns the table and the orderings as text."""
    lines = [
        "| | SSIM | CSIM | LMD px | L1 | paper: SSIM | paper: CSIM |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        theirs = PAPER.get(name, {})
        cells = [f"{row[key]:.3f}" for key in ("ssim", "csim")]
        cells += [f"{row['lmd']:.2f}", f"{row['l1']:.2f}"]
        cells += [f"{theirs[key]:.2f}" if key in theirs else "" for key in ("ssim", "csim")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for holds, title in ((True, "Holds as in the paper"), (False, "Does not hold")):
        parts = [
            f"{one['better']} over {one['worse']} ({one['figure'].upper()})"
            for one in found
            if one["holds"] is holds
        ]
        lines += ["", f"{title}: {'; '.join(parts) or 'none'}."]
    return "\n".join(lines) + "\n"
