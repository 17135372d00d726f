"""Lambertian shading: vertex normals and second-order spherical-harmonic light.

Normals point out of surfaces whose triangles are counter-clockwise seen from outside, in the model
frame (y up, z to the viewer) and in the image frame (y down, z away) alike: both are right-handed.
"""

import math

import jax
import jax.numpy as jnp

from facejax import checks
from facejax.geometry.mesh import MeshTopology

# Factors of the nine real harmonics of degree 0 to 2, orthonormal over the unit sphere
# (Ramamoorthi & Hanrahan, "An efficient representation for irradiance environment maps", 2001).
SH_CONSTANT = math.sqrt(1 / (4 * math.pi))  # 0.282095: Y00
SH_LINEAR = math.sqrt(3 / (4 * math.pi))  # 0.488603: y, z, x
SH_PRODUCT = math.sqrt(15 / (4 * math.pi))  # 1.092548: xy, yz, xz
SH_ZONAL = math.sqrt(5 / (16 * math.pi))  # 0.315392: 3 z^2 - 1
SH_SQUARES = math.sqrt(15 / (16 * math.pi))  # 0.546274: x^2 - y^2


@jax.jit
def vertex_normals(vertices: jax.Array, topology: MeshTopology) -> jax.Array:
    """Returns unit normals [..., V, 3]: the triangles' normals, weighted by their areas.

    Vertices without triangles of positive area get zero, with a gradient of zero.

    Args:
      vertices: [..., V, 3] in a right-handed frame.
      topology: the mesh, counter-clockwise seen from outside.
    """
    checks.shapes(
        vertices=(vertices, "... V 3"),
        faces=(topology.faces, "3 F"),
        corner_table=(topology.corner_table, "V D"),
    )
    num_faces = topology.faces.shape[1]
    if num_faces == 0:
        return jnp.zeros_like(vertices)
    a, b, c = (jnp.take(vertices, corner, axis=-2) for corner in jnp.asarray(topology.faces))
    doubled = jnp.cross(b - a, c - a)  # length: twice the area
    corner = jnp.asarray(topology.corner_table)
    around = jnp.take(doubled, jnp.maximum(corner, 0) % num_faces, axis=-2)  # [..., V, D, 3]
    real = jnp.expand_dims(corner >= 0, (*range(vertices.ndim - 2), vertices.ndim))
    total = jnp.sum(jnp.where(real, around, 0.0), axis=-2)
    square = jnp.sum(total**2, axis=-1, keepdims=True)
    solid = square > 0
    # Twice where: rsqrt(0) is infinite and so is its gradient.
    return total * jnp.where(solid, jax.lax.rsqrt(jnp.where(solid, square, 1.0)), 0.0)


def spherical_harmonics(normals: jax.Array) -> jax.Array:
    """Returns the nine real spherical harmonics of degree 0 to 2 at unit normals, [..., 9].

    In the order (degree, order): Y00, Y1-1 ~ y, Y10 ~ z, Y11 ~ x, Y2-2 ~ xy, Y2-1 ~ yz,
    Y20 ~ 3 z^2 - 1, Y21 ~ xz, Y22 ~ x^2 - y^2, with positive factors (no Condon-Shortley phase).

    Args:
      normals: [..., 3] of unit length.
    """
    checks.shapes(normals=(normals, "... 3"))
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    bands = [
        jnp.full_like(x, SH_CONSTANT),
        SH_LINEAR * y,
        SH_LINEAR * z,
        SH_LINEAR * x,
        SH_PRODUCT * x * y,
        SH_PRODUCT * y * z,
        SH_ZONAL * (3 * z**2 - 1),
        SH_PRODUCT * x * z,
        SH_SQUARES * (x**2 - y**2),
    ]
    return jnp.stack(bands, axis=-1)


def shade(albedo: jax.Array, normals: jax.Array, light: jax.Array) -> jax.Array:
    """Returns albedo * (spherical_harmonics(normals) @ light), [..., V, 3]; not clipped.

    White light of constant radiance, which returns the albedo, is 1 / SH_CONSTANT in the first
    row and zero in the others.

    Args:
      albedo: [..., V, 3] in [0, 1], of vertices or of any list of surface points.
      normals: [..., V, 3] of unit length.
      light: [..., 9, 3] red, green and blue irradiance of each harmonic.
    """
    checks.shapes(
        albedo=(albedo, "... V 3"), normals=(normals, "... V 3"), light=(light, "... 9 3")
    )
    bands = spherical_harmonics(normals)
    return albedo * jnp.matmul(bands, light, precision=jax.lax.Precision.HIGHEST)
