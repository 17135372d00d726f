"""The C loop against the rasteriser, and what happens without a compiler."""

import shutil

import numpy as np
import pytest

from facejax.benchmarks import c_loop, meshes, native
from facejax.geometry.rasterize import fragments, interpolate, mesh_topology, rasterize

HEIGHT, WIDTH = 60, 72

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")


@pytest.fixture(scope="module")
def scene():
    vertices, faces = meshes.grid_face(20)
    screen = meshes.on_screen(vertices, 3, HEIGHT, WIDTH)
    return vertices, faces, screen, mesh_topology(faces, len(vertices))


@pytest.fixture
def loop(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path))
    return c_loop.load()


@needs_compiler
@pytest.mark.parametrize("careful", [False, True])
def test_ids_and_depth_agree(loop, scene, careful):
    _, faces, screen, topology = scene
    ids, depth = loop.ids(screen, faces, (HEIGHT, WIDTH), careful=careful)
    expected = np.asarray(rasterize(screen, topology, HEIGHT, WIDTH))
    assert (expected >= 0).mean() > 0.25
    differ = ids != expected
    assert differ.sum() == 0
    seen = (expected >= 0) & ~differ
    ours = np.asarray(fragments(screen, topology, expected).depth)
    np.testing.assert_allclose(depth[seen], ours[seen], atol=2e-3)
    assert (depth[ids < 0] == np.inf).all()


@needs_compiler
@pytest.mark.parametrize(("careful", "most"), [(False, 40), (True, 2)])
def test_slivers_differ_in_the_plain_loop_only(loop, careful, most):
    """Of 65,536 pixels 37 differ in the plain loop: drawn beyond a sliver's end; none else."""
    vertices, faces = meshes.grid_face(50)
    screen = meshes.on_screen(vertices, 1, 256, 256)
    ids, _ = loop.ids(screen, faces, (256, 256), careful=careful)
    expected = np.asarray(rasterize(screen, mesh_topology(faces, len(vertices)), 256, 256))
    assert (ids != expected).sum() <= most


@needs_compiler
def test_colors_agree(loop, scene):
    vertices, faces, screen, topology = scene
    colors = meshes.smooth_colors(vertices, 5)
    image = loop.render(screen, faces, colors, (HEIGHT, WIDTH))
    ids = loop.ids(screen, faces, (HEIGHT, WIDTH))[0]
    expected = interpolate(colors, topology, fragments(screen, topology, ids))
    assert image.shape == (3, HEIGHT, WIDTH, 5)
    surface = np.asarray(rasterize(screen, topology, HEIGHT, WIDTH)) == ids
    np.testing.assert_allclose(image[surface], np.asarray(expected)[surface], atol=2e-3)


@needs_compiler
def test_a_nearer_triangle_hides_and_equal_depths_keep_the_first(loop):
    corners = np.array([[0, 0], [40, 0], [0, 40]], np.float32)
    screen = np.concatenate([np.c_[corners, z * np.ones(3)] for z in (5, 3, 3)])[None]
    faces = np.arange(9, dtype=np.int32).reshape(3, 3)
    for careful in (False, True):
        ids, depth = loop.ids(screen.astype(np.float32), faces, (8, 8), careful=careful)
        assert (ids == 1).all()
        np.testing.assert_allclose(depth, 3, rtol=1e-6)


@needs_compiler
def test_the_second_start_compiles_nothing(loop, tmp_path):
    files = list((tmp_path / "bench").iterdir())
    assert len(files) == 1
    before = files[0].stat().st_mtime_ns
    c_loop.load()
    assert list((tmp_path / "bench").iterdir()) == files
    assert files[0].stat().st_mtime_ns == before


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(native.NoCompilerError, match="no-such-compiler is not installed"):
        c_loop.load()


def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\necho broken on purpose >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("FACEJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(native.NoCompilerError, match="broken-cc failed: broken on purpose"):
        c_loop.load()
