"""Rasterising the reference meshes: ids, surface, interpolation and gradients."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from facejax.benchmarks import geometry_goals, per_frame
from facejax.benchmarks.cases import Case, Scene, Setting, cases, scene
from facejax.benchmarks.compare import OURS, Contest, Row, Section
from facejax.benchmarks.goals import Goal
from facejax.benchmarks.timing import Contender, compiled
from facejax.geometry.frames import over_frames, sum_over_frames
from facejax.geometry.mesh import MeshTopology
from facejax.geometry.rasterize import fragments, interpolate, rasterize


def ids(screen: jax.Array, topology: MeshTopology, px: int) -> jax.Array:
    """[B, V, 3] -> triangle numbers [B, px, px]."""
    return rasterize(screen, topology, px, px)


def surface(screen: jax.Array, topology: MeshTopology, px: int) -> Any:
    """[B, V, 3] -> numbers, weights and depth under each pixel centre."""
    return fragments(screen, topology, ids(screen, topology, px))


def image(screen: jax.Array, colors: jax.Array, topology: MeshTopology, px: int) -> jax.Array:
    """[B, V, 3], [V, C] -> [B, px, px, C]."""
    draw = lambda frame: interpolate(colors, topology, surface(frame, topology, px))
    return over_frames(draw, screen.shape[:1], screen)


def gradients(
    screens: jax.Array, colors: jax.Array, targets: jax.Array, topology: MeshTopology, px: int
) -> Any:
    """The mean square distance to the targets, and its gradients to vertices and colours."""

    def loss(screen: jax.Array, colors: jax.Array, target: jax.Array) -> jax.Array:
        drawn = interpolate(colors, topology, surface(screen, topology, px))
        return jnp.mean((drawn - target) ** 2) / len(screens)

    return loss_gradients(loss, screens, colors, targets)


def loss_gradients(
    loss: Callable, screens: jax.Array, colors: jax.Array, targets: jax.Array
) -> tuple:
    """The sum over frames of loss(screen, colors, target); its gradients to colours, vertices."""

    def one_frame(frame: tuple) -> tuple:
        screen, target = frame
        value, (to_screen, to_colors) = jax.value_and_grad(loss, (0, 1))(screen, colors, target)
        return (value, to_colors), to_screen

    return sum_over_frames(one_frame, (screens, targets))


DRAWINGS: dict[str, Callable[..., Any]] = {
    "ids": ids,
    "surface": surface,
    "image": image,
    "gradients": gradients,
}


def sections(setting: Setting) -> Iterator[Section]:
    """Yields the sections of rendering."""
    loops = (f"{OURS} / C loop", f"{OURS} / C careful")
    others = (f"NumPy / {OURS}", f"PyTorch3D / {OURS}")
    basis = (f"{OURS} / C ids",)
    yield Section(
        "ids", "the triangle under each pixel", (*loops, *others),
        _rows(setting, _ids, geometry_goals.ids),
    )  # fmt: skip
    yield Section(
        "surface", "ids, barycentric weights and depth", basis,
        _rows(setting, _surface, geometry_goals.surface, only_reference=True),
    )  # fmt: skip
    yield Section(
        "interpolation", "ids and 3 interpolated channels", (*basis, *loops),
        _rows(setting, _image, geometry_goals.interpolation),
    )  # fmt: skip
    yield Section(
        "gradients", "mean square loss, forward and backward to vertices and colours", basis,
        _rows(setting, _gradients, geometry_goals.gradients),
    )  # fmt: skip


def _rows(
    setting: Setting,
    build: Callable[[Setting, Case], Contest],
    goals: Callable[[Case, str], list[Goal]],
    only_reference: bool = False,
) -> list[Row]:
    return [
        Row(case._asdict(), functools.partial(build, setting, case), goals(case, setting.platform))
        for case in cases(setting, only_reference)
    ]


def _ids(setting: Setting, case: Case) -> Contest:
    view = scene(case)
    contenders = {OURS: drawn("ids", case, view)}
    size = (case.px, case.px)
    if loop := setting.c_loop:
        contenders["C loop"] = _by_hand(case, lambda: loop.ids(view.screen, view.faces, size))
        contenders["C careful"] = _by_hand(
            case, lambda: loop.ids(view.screen, view.faces, size, careful=True)
        )
    if case.mesh.startswith("coarse") and case.batch == 1:
        contenders["NumPy"] = _by_hand(
            case, lambda: per_frame.rasterize(view.screen[0], view.faces, size)
        )
    if (peer := setting.pytorch3d) and peer.can(case):
        contenders["PyTorch3D"] = peer.ids(view.screen, view.faces, size)
    return Contest(contenders)


def _surface(setting: Setting, case: Case) -> Contest:
    view = scene(case)
    ours = {OURS: drawn("surface", case, view)}
    return Contest(ours | c_ids(setting, case, view))


def _image(setting: Setting, case: Case) -> Contest:
    view = scene(case)
    contenders = {OURS: drawn("image", case, view)}
    contenders |= c_ids(setting, case, view)
    if loop := setting.c_loop:
        contenders["C loop"] = _by_hand(
            case, lambda: loop.render(view.screen, view.faces, view.colors, (case.px, case.px))
        )
    return Contest(contenders)


def _gradients(setting: Setting, case: Case) -> Contest:
    view = scene(case)
    ours = {OURS: drawn("gradients", case, view)}
    return Contest(ours | c_ids(setting, case, view))


def drawn(name: str, case: Case, view: Scene) -> Contender:
    """Returns facejax drawing a case: "ids", "surface", "image" or "gradients"."""
    arrays: tuple[Any, ...] = (view.screen,)
    if name in ("image", "gradients"):
        arrays += (view.colors,)
    if name == "gradients":
        arrays += (np.zeros((case.batch, case.px, case.px, view.colors.shape[1]), np.float32),)
    function = functools.partial(DRAWINGS[name], px=case.px)
    return compiled(function, *arrays, view.topology, frames=case.batch)


def c_ids(setting: Setting, case: Case, view: Scene) -> dict[str, Contender]:
    """The C loop for ids alone, as what a section that does more is measured by."""
    loop, size = setting.c_loop, (case.px, case.px)
    if loop is None:
        return {}
    return {"C ids": _by_hand(case, lambda: loop.ids(view.screen, view.faces, size))}


def _by_hand(case: Case, call: Callable[[], Any]) -> Contender:
    return Contender(call, case.batch)
