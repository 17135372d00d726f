"""Differentiable silhouettes: edge coverage, splats and soft layers, forward and backward."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from facejax.benchmarks import geometry_goals, rendering
from facejax.benchmarks.cases import Case, Scene, Setting, cases, scene
from facejax.benchmarks.compare import OURS, Contest, Row, Section
from facejax.benchmarks.goals import Goal
from facejax.benchmarks.timing import Contender, compiled
from facejax.geometry.frames import sum_over_frames
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.rasterize import interpolate
from facejax.geometry.silhouette import silhouette_coverage
from facejax.geometry.soft import rasterize_layers, soft_radius, soft_silhouette
from facejax.geometry.splat import splat

LAYERS = 8
SIGMA = 0.5  # px^2: of the soft silhouette's sigmoid of squared distances
IDS = f"{OURS} / ids"  # what it costs beside the hard image


def coverage_gradient(screens: jax.Array, weights: jax.Array, topology: MeshTopology) -> Any:
    """The covered area, weighted by [B, H, W], and its gradient to the vertices."""

    def area(screen: jax.Array, weights: jax.Array) -> jax.Array:
        seen = rendering.surface(screen, topology, weights.shape[-1])
        return jnp.sum(weights * silhouette_coverage(screen, topology, seen))

    return sum_over_frames(lambda frame: jax.value_and_grad(area)(*frame), (screens, weights))


def splat_gradient(
    screens: jax.Array, colors: jax.Array, targets: jax.Array, topology: MeshTopology
) -> Any:
    """The mean square distance of splats to [B, H, W, 4], with gradients to vertices, colours."""

    def loss(screen: jax.Array, colors: jax.Array, target: jax.Array) -> jax.Array:
        seen = rendering.surface(screen, topology, target.shape[-2])
        surface = interpolate(colors, topology, lax.stop_gradient(seen))
        return jnp.mean((splat(screen, topology, seen, surface) - target) ** 2) / len(screens)

    return rendering.loss_gradients(loss, screens, colors, targets)


def soft_gradient(screens: jax.Array, weights: jax.Array, topology: MeshTopology) -> Any:
    """The softly covered area, weighted by [B, H, W], and its gradient to the vertices."""
    height, width = weights.shape[-2:]

    def area(screen: jax.Array, weights: jax.Array) -> jax.Array:
        layers = rasterize_layers(screen, topology, height, width, LAYERS, soft_radius(SIGMA))
        return jnp.sum(weights * soft_silhouette(screen, topology, layers, SIGMA))

    return sum_over_frames(lambda frame: jax.value_and_grad(area)(*frame), (screens, weights))


def sections(setting: Setting) -> Iterator[Section]:
    """Yields the sections of silhouettes."""
    every = cases(setting, only_reference=True)
    coarse = [case for case in every if case.coarse]
    yield Section(
        "coverage", "area under the silhouette, with gradient to vertices", (IDS,),
        _rows(setting, every, _coverage, geometry_goals.outline),
    )  # fmt: skip
    yield Section(
        "splat", "rasterise, then splat: colour loss, with gradients to vertices and colours",
        (IDS,), _rows(setting, every, _splat, geometry_goals.outline),
    )  # fmt: skip
    yield Section(
        "soft", f"soft silhouette of the {LAYERS} nearest triangles, with gradient to vertices",
        (IDS, f"PyTorch3D / {OURS}"), _rows(setting, coarse, _soft, geometry_goals.soft),
    )  # fmt: skip


def _rows(
    setting: Setting,
    chosen: list[Case],
    build: Callable[[Setting, Case, Scene], Mapping[str, Contender]],
    goals: Callable[[Case, str], list[Goal]],
) -> list[Row]:
    def contest(case: Case) -> Contest:
        view = scene(case)
        found = dict(build(setting, case, view))
        return Contest(found | {"ids": rendering.drawn("ids", case, view)})

    return [
        Row(case._asdict(), functools.partial(contest, case), goals(case, setting.platform))
        for case in chosen
    ]


def _coverage(setting: Setting, case: Case, view: Scene) -> Mapping[str, Contender]:
    arrays = (view.screen, _weights(case), view.topology)
    return {OURS: compiled(coverage_gradient, *arrays, frames=case.batch)}


def _splat(setting: Setting, case: Case, view: Scene) -> Mapping[str, Contender]:
    target = np.zeros((case.batch, case.px, case.px, view.colors.shape[1] + 1), np.float32)
    arrays = (view.screen, view.colors, target, view.topology)
    return {OURS: compiled(splat_gradient, *arrays, frames=case.batch)}


def _soft(setting: Setting, case: Case, view: Scene) -> Mapping[str, Contender]:
    arrays = (view.screen, _weights(case), view.topology)
    found = {OURS: compiled(soft_gradient, *arrays, frames=case.batch)}
    if (peer := setting.pytorch3d) and peer.can(case):
        size = (case.px, case.px)
        found["PyTorch3D"] = peer.silhouette(view.screen, view.faces, size, SIGMA, LAYERS)
    return found


def _weights(case: Case) -> np.ndarray:
    """A weight a pixel that rises to the right, [B, px, px]: symmetric shifts do not cancel."""
    ramp = np.linspace(0, 1, case.px, dtype=np.float32)
    return np.broadcast_to(ramp, (case.batch, case.px, case.px)).copy()
