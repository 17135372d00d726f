"""Which of Face Mesh's 468 points is what, and a triangulation of our own.

"Right" is the subject's right, which is on the left of the image. Contours run around the feature,
each point once; the last joins the first.
"""

import itertools

import numpy as np
import scipy.spatial

NUM_POINTS = 468
RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER = 33, 133, 362, 263
RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER = 61, 291
FOREHEAD, CHIN, NOSE_TIP = 10, 152, 4

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
# Four rings from the red's rim inwards, the same 20 places on each.
LIP_RINGS = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 408, 304, 303, 302, 11, 72, 73, 74, 184),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 407, 272, 271, 268, 12, 38, 41, 42, 183),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
OUTER_LIPS, INNER_LIPS = LIP_RINGS[0], LIP_RINGS[-1]

# The counterpart of every point on the other side of the face; the middle line has its own.
MIRROR = (
    0, 1, 2, 248, 4, 5, 6, 249, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 250, 251, 252,
    253, 254, 255, 256, 257, 258, 259, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 270,
    271, 272, 273, 274, 275, 276, 277, 278, 279, 280, 281, 282, 283, 284, 285, 286, 287, 288,
    289, 290, 291, 292, 293, 294, 295, 296, 297, 298, 299, 300, 301, 302, 303, 304, 305, 306,
    307, 308, 309, 310, 311, 312, 313, 314, 315, 316, 317, 318, 319, 320, 321, 322, 323, 94,
    324, 325, 326, 327, 328, 329, 330, 331, 332, 333, 334, 335, 336, 337, 338, 339, 340, 341,
    342, 343, 344, 345, 346, 347, 348, 349, 350, 351, 352, 353, 354, 355, 356, 357, 358, 359,
    360, 361, 362, 363, 364, 365, 366, 367, 368, 369, 370, 371, 372, 373, 374, 375, 376, 377,
    378, 379, 151, 152, 380, 381, 382, 383, 384, 385, 386, 387, 388, 389, 390, 164, 391, 392,
    393, 168, 394, 395, 396, 397, 398, 399, 175, 400, 401, 402, 403, 404, 405, 406, 407, 408,
    409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 195, 419, 197, 420, 199, 200, 421, 422,
    423, 424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 435, 436, 437, 438, 439, 440,
    441, 442, 443, 444, 445, 446, 447, 448, 449, 450, 451, 452, 453, 454, 455, 456, 457, 458,
    459, 460, 461, 462, 463, 464, 465, 466, 467, 3, 7, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
    30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73,
    74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 95, 96,
    97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114,
    115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132,
    133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147, 148, 149, 150,
    153, 154, 155, 156, 157, 158, 159, 160, 161, 162, 163, 165, 166, 167, 169, 170, 171, 172,
    173, 174, 176, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191,
    192, 193, 194, 196, 198, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 212, 213,
    214, 215, 216, 217, 218, 219, 220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230, 231,
    232, 233, 234, 235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 245, 246, 247,
)  # fmt: skip

# The 68 iBUG landmarks. Where several points qualify (jaw line, nostrils), those that lie nearest
# to annotated landmarks of photos, the same on both sides of the face.
IBUG_68 = (
    127, 234, 93, 58, 172, 136, 150, 176, 152, 400, 379, 365, 397, 288, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 99, 2, 328, 305,  # nose: bridge, then base
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
)  # fmt: skip


def triangulate(mean: np.ndarray) -> np.ndarray:
    """Returns triangles over the mean face, eyes and mouth left open, [F, 3] int32.

    Delaunay on the right half of the face, unwrapped around an axis behind it, then mirrored: the
    result is symmetric. The lips, which fold, are strips between their rings. Triangles are
    counter-clockwise seen from outside (from +z).

    Args:
      mean: [468, 3] symmetric, upright, in the model frame (y up, z towards the viewer).
    """
    mirror = np.array(MIRROR)
    inner_lips = [point for ring in LIP_RINGS[1:] for point in ring]
    half = (mean[:, 0] < 0) | (mirror == np.arange(len(mean)))
    half[inner_lips] = False
    flat = unwrap(mean)
    triangles = np.flatnonzero(half)[scipy.spatial.Delaunay(flat[half]).simplices]
    a, b, c = np.moveaxis(flat[triangles], 1, 0)
    clockwise = (b - a)[:, 0] * (c - a)[:, 1] < (b - a)[:, 1] * (c - a)[:, 0]
    triangles[clockwise] = triangles[clockwise][:, ::-1]
    middle = flat[triangles].mean(axis=1)
    keep = _inside(flat[list(OVAL)], middle)
    for hole in (RIGHT_EYE, OUTER_LIPS):
        keep &= ~_inside(flat[list(hole)], middle)
    triangles = triangles[keep]
    twins = mirror[triangles][:, ::-1]
    return np.concatenate([triangles, twins, _lip_strips(mean)]).astype(np.int32)


def unwrap(mean: np.ndarray) -> np.ndarray:
    """Returns the plane [N, 2] onto which a face unrolls without folds: direction from its inside.

    Azimuthal equidistant map of the directions from a point behind the nose, x right, y up. Only
    the lips still fold: they roll inwards, one ring behind the other.
    """
    centre = np.array([0, mean[:, 1].mean(), mean[:, 2].min() - 0.2 * np.ptp(mean[:, 2])])
    way = mean - centre
    way = way / np.linalg.norm(way, axis=-1, keepdims=True)
    angle = np.arccos(np.clip(way[:, 2:], -1, 1))
    radius = np.maximum(np.linalg.norm(way[:, :2], axis=-1, keepdims=True), 1e-12)
    return angle * way[:, :2] / radius


def _lip_strips(mean: np.ndarray) -> np.ndarray:
    """Returns the triangles between the rings of the lips, each quad cut along its shorter side."""
    triangles = []
    for outer, inner in itertools.pairwise(LIP_RINGS):
        for k in range(len(outer)):
            a, b = outer[k - 1], outer[k]  # the rings run counter-clockwise seen from outside
            d, c = inner[k - 1], inner[k]
            if np.linalg.norm(mean[a] - mean[c]) < np.linalg.norm(mean[b] - mean[d]):
                triangles += [(a, b, c), (a, c, d)]
            else:
                triangles += [(a, b, d), (b, c, d)]
    return np.array(triangles)


def _inside(ring: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Tells which points [M, 2] lie inside the polygon [K, 2] (even-odd rule), [M] bool."""
    a, b = ring, np.roll(ring, -1, axis=0)
    x, y = points[:, :1], points[:, 1:]
    straddles = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):  # level edges straddle no line
        crossing = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    return (np.sum(straddles & (x < crossing), axis=1) % 2).astype(bool)
