"""The contenders of a row do the same thing: their results agree, then their times compare."""

import jax
import numpy as np
import pytest

from facejax.benchmarks import cases, fits, model_fits, per_frame, scaling, silhouettes
from facejax.benchmarks.cases import Case, Setting
from facejax.benchmarks.goals import MET, verdict
from facejax.geometry.rasterize import rasterize

SETTING = Setting(("coarse-2k",), (48,), (2,), "cpu", quick=True)
CASE = Case("coarse-2k", 48, 2)


def test_similarities_agree_frame_by_frame():
    contest = fits.procrustes_contest(40, 3)
    by_numpy = contest.contenders["NumPy"].call()
    for name in ("facejax", "horn"):
        found = contest.contenders[name].call()
        for k, (scale, rotation, translation) in enumerate(by_numpy):
            assert float(found.scale[k]) == pytest.approx(scale, rel=1e-5)
            np.testing.assert_allclose(found.rotation[k], rotation, atol=1e-5)
            np.testing.assert_allclose(found.translation[k], translation, atol=0.02)
    assert contest.errors["rotation error"] < 5e-6


def test_affine_cameras_agree_frame_by_frame():
    contest = fits.affine_contest(40, 3)
    by_numpy, found = (contest.contenders[name].call() for name in ("NumPy", "facejax"))
    np.testing.assert_allclose(found[..., :3], np.stack(by_numpy)[..., :3], atol=1e-4)
    assert contest.errors["reprojection px"] < 2e-3


def test_coefficients_agree_frame_by_frame():
    contest = model_fits.coefficients_contest(60, 12, 3)
    by_numpy, found = (contest.contenders[name].call() for name in ("NumPy", "facejax"))
    np.testing.assert_allclose(found, np.stack(by_numpy), atol=1e-4)
    assert contest.errors["coefficient error"] < 1e-5


def test_projected_coefficients_agree_on_the_frames_that_scipy_does():
    contest = model_fits.projected_contest(60, 12, 6)
    assert contest.contenders["SciPy"].frames == 4 and contest.contenders["facejax"].frames == 6
    by_scipy, found = (contest.contenders[name].call() for name in ("SciPy", "facejax"))
    np.testing.assert_allclose(found[:4], by_scipy, atol=1e-3)
    assert contest.errors["coefficient error"] < 1e-4


def test_the_loop_of_numpy_draws_the_same_triangles():
    view = cases.scene(CASE)
    found = per_frame.rasterize(view.screen[0], view.faces, (48, 48))
    np.testing.assert_array_equal(found, rasterize(view.screen[0], view.topology, 48, 48))


def test_silhouettes_send_gradients_to_the_vertices():
    sections = {section.name: section for section in silhouettes.sections(SETTING)}
    (row,) = sections["coverage"].rows
    contest = row.build()
    assert list(contest.contenders) == ["facejax", "ids"]
    area, slope = contest.contenders["facejax"].call()
    assert area > 0 and slope.shape == (2, 1296, 3)
    assert np.isfinite(slope).all() and np.abs(slope[..., :2]).max() > 0


def test_splats_and_soft_layers_have_gradients_of_the_right_shape():
    view = cases.scene(CASE)
    target, weights = np.zeros((2, 48, 48, 4), np.float32), np.zeros((2, 48, 48), np.float32)
    colored = (view.screen, view.colors, target, view.topology)
    (loss, to_colors), to_screens = jax.eval_shape(silhouettes.splat_gradient, *colored)
    assert (loss.shape, to_colors.shape, to_screens.shape) == ((), (1296, 3), (2, 1296, 3))
    plain = (view.screen, weights, view.topology)
    area, slope = jax.eval_shape(silhouettes.soft_gradient, *plain)
    assert area.shape == () and slope.shape == (2, 1296, 3)


def test_growth_is_measured_where_both_ends_are_covered():
    def steps(**changes):
        full = Setting(("coarse-2k", "dense-106k"), (128, 256, 512), (1, 8), "cpu")
        (section,) = scaling.sections(full._replace(**changes))
        return [(row.case["before"], row.case["after"]) for row in section.rows]

    assert ("dense-106k 256px B=1", "dense-106k 512px B=1") in steps()
    assert ("coarse-2k 256px B=1", "coarse-2k 128px B=1") in steps()
    assert not any("512px" in after for _, after in steps(sizes=(128, 256)))
    assert not any("B=8" in after for _, after in steps(batches=(1,)))
    assert steps(sizes=(256,), batches=(1,)) == []
    assert ("dense-106k 256px B=32", "dense-106k 256px B=128") in steps(platform="gpu")


def test_a_growth_below_its_limit_meets_the_goal():
    (section,) = scaling.sections(Setting(("coarse-2k",), (256,), (1, 8), "cpu"))
    (goal,) = section.rows[0].goals
    assert verdict(goal, {"after / before": 1.0}) == MET
