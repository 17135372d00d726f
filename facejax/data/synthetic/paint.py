"""What colour a surface point has: paint in the coordinates of the neutral head, at any resolution.

Every function takes points `place` [..., 3] (mm on the neutral head; for hair see `figure.hair`)
and one person's `Look` without batch axes, and returns linear RGB [..., 3]. `blur` is the width of
a sample in mm: edges are as soft as one sample, so that small images show no jagged outlines.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from facejax.data.synthetic import features
from facejax.data.synthetic.look import Look

IRIS_RADIUS, PUPIL_RADIUS = 7.2, 3.0  # mm


def linear(srgb: jax.Array) -> jax.Array:
    """Returns sRGB values in [0, 1] as amounts of light."""
    return jnp.maximum(srgb, 0.0) ** 2.2


def inside(distance: jax.Array, blur: jax.Array | float) -> jax.Array:
    """Returns 1 where a signed distance (mm) is positive, 0 where negative, soft between."""
    share = jnp.clip(distance / blur + 0.5, 0.0, 1.0)
    return share * share * (3 - 2 * share)


def mix(under: jax.Array, over: jax.Array, amount: jax.Array) -> jax.Array:
    """Returns `under` [..., 3] covered by `over` [3] or [..., 3] as far as `amount` [...]."""
    under, over = _spread(under, amount), _spread(over, amount)
    return under + (over - under) * _once(amount)[..., None]


def dim(color: jax.Array, share: jax.Array) -> jax.Array:
    """Returns `color` [..., 3] times `share` [...]."""
    return _spread(color, share) * _once(share)[..., None]


def _spread(color: jax.Array, over: jax.Array) -> jax.Array:
    return jnp.broadcast_to(color, (*over.shape, 3))


def _once(amount: jax.Array) -> jax.Array:
    # Without the barrier the compiler works the amount out anew for each of the three channels.
    return jax.lax.optimization_barrier(amount)


def spot(x: jax.Array, y: jax.Array, centre: tuple, radii: tuple) -> jax.Array:
    """Returns a Gaussian spot."""
    return jnp.exp(-0.5 * (((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2))


def wave(x: jax.Array) -> jax.Array:
    """Returns sin(x) to within 0.0012, some forty times as fast on a CPU (two parabolas)."""
    turn = x * (0.5 / np.pi)
    turn = turn - jnp.round(turn)
    arch = turn * (8 - 16 * jnp.abs(turn))
    return arch * (0.775 + 0.225 * jnp.abs(arch))


def polyline(x: jax.Array, stops: Sequence[float], values: Sequence[float]) -> jax.Array:
    """Returns jnp.interp(x, stops, values), many times faster for few stops: no search."""
    slopes = np.diff(values) / np.diff(stops)
    x = jnp.clip(x, stops[0], stops[-1])
    bends = zip(stops[:-1], np.diff(slopes, prepend=0.0), strict=True)
    terms = (float(bend) * jnp.maximum(x - at, 0.0) for at, bend in bends)
    return sum(terms, start=jnp.full_like(x, values[0]))


def skin(place: jax.Array, lid: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    """Returns the colour of skin, lips, brows, lids and scalp.

    Args:
      place: [..., 3].
      lid: [...] mm from the lids' margin.
      look: the person.
      blur: mm.
    """
    x, y, z = jnp.abs(place[..., 0]), place[..., 1], place[..., 2]
    front = (z > -45).astype(place.dtype)
    tone = linear(look.skin)
    color = dim(tone, _mottle(place, look))
    color = _complexion(color, x, y, z, front, look)
    color = _freckles(color, place, front, look)
    color = _beard(color, place, front, look, blur)
    color = _lids(color, x, y, lid, look, blur)
    color = _brows(color, place, front, look, blur)
    color = _lips(color, place, front, look, blur)
    nostril = spot(x, y, (6.6, -41.6), (2.9, 1.7)) * front
    color = dim(color, 1 - 0.85 * jnp.clip(1.3 * nostril, 0, 1))
    color = dim(color, _occlusion(x, y, z, front))
    return _scalp(color, place, look, blur)


def _mottle(place: jax.Array, look: Look) -> jax.Array:
    x, y, z = place[..., 0], place[..., 1], place[..., 2]
    p = look.phase
    coarse = wave(x / 9 + p[0]) * wave(y / 8 + p[1]) + wave((x + y) / 14 + z / 11 + p[2])
    warp = 2.2 * wave(x / 3.1 + p[6]) + 1.9 * wave(y / 3.7 + x / 5.3 + p[7])
    fine = wave(x / 1.9 + warp + p[3]) * wave(y / 1.7 - warp + p[4])
    return 1 + 0.025 * coarse + 0.018 * fine


def _complexion(
    color: jax.Array, x: jax.Array, y: jax.Array, z: jax.Array, front: jax.Array, look: Look
) -> jax.Array:
    rosy = linear(look.skin * jnp.array([1.03, 0.72, 0.70]))
    cheek = spot(x, y, (42.0, -26.0), (15.0, 12.0)) + 0.5 * spot(x, y, (0.0, -28.0), (11.0, 8.0))
    ears = (x > 70) * (z < -60)
    color = mix(color, rosy, look.groom[0] * jnp.clip(cheek * front + 0.7 * ears, 0, 1))
    tired = spot(x, y, (29.0, -12.0), (12.0, 4.0)) * front
    color = mix(color, linear(look.skin * jnp.array([0.80, 0.70, 0.74])), 0.35 * tired)
    fold_x = 20.0 + (-32.0 - y) * 0.52
    fold = jnp.exp(-(((x - fold_x) / 1.6) ** 2)) * jnp.exp(-(((y + 46) / 10) ** 2)) * front
    return dim(color, 1 - 0.16 * fold)


def _freckles(color: jax.Array, place: jax.Array, front: jax.Array, look: Look) -> jax.Array:
    x, y, p = place[..., 0], place[..., 1], look.phase
    dots = wave(x * 1.25 + p[5]) * wave(y * 1.35 + p[6]) * wave((x + 1.7 * y) * 0.77 + p[7])
    zone = spot(jnp.abs(x), y, (24.0, -20.0), (22.0, 14.0)) * front
    amount = look.groom[1] * jnp.clip((dots - 0.3) * 4, 0, 1) * jnp.clip(1.5 * zone, 0, 1)
    return mix(color, linear(look.skin * jnp.array([0.72, 0.55, 0.45])), 0.75 * amount)


def _beard(
    color: jax.Array, place: jax.Array, front: jax.Array, look: Look, blur: jax.Array
) -> jax.Array:
    """Stubble or a beard on jaw, chin and upper lip."""
    x, y, z = jnp.abs(place[..., 0]), place[..., 1], place[..., 2]
    edge = polyline(x, (0, 20, 34, 50, 64, 72), (-46, -48, -64, -56, -30, -6))
    zone = inside(edge - y, 7.0 + blur) * (z > -75)
    bare = spot(x, y, (17.0, -72.0), (6.0, 5.0)) * 0.6 + spot(x, y, (0.0, -49.0), (2.5, 6.0)) * 0.5
    zone = zone * (1 - jnp.clip(bare, 0, 1))
    upper = spot(x, y, (9.0, -50.5), (11.0, 4.5))
    zone = jnp.clip(jnp.maximum(zone, 1.2 * upper * front), 0, 1)
    grain = 0.72 + 0.28 * wave(place[..., 0] * 2.1 + 0.6 * y) * wave(y * 1.9 - 0.4 * place[..., 0])
    shadow = linear(look.skin * 0.62 + look.hair * 0.2)
    color = mix(color, shadow, 0.55 * look.groom[2] * zone * grain)
    return mix(color, linear(look.hair * 0.95), look.groom[3] * 0.92 * zone * (0.75 + 0.25 * grain))


def _lids(
    color: jax.Array, x: jax.Array, y: jax.Array, lid: jax.Array, look: Look, blur: jax.Array
) -> jax.Array:
    """Eye shadow, the crease, the lids' margins and lashes."""
    (inner_x, inner_y), (outer_x, outer_y) = features.EYE_INNER, features.EYE_OUTER
    line = inner_y + (x - inner_x) * ((outer_y - inner_y) / (outer_x - inner_x))
    above = inside(y - line, 1.5)
    outer = jnp.clip((x - 18) / 22, 0, 1)
    shadow = linear(look.skin * jnp.array([0.62, 0.5, 0.52]) + jnp.array([0.02, 0.0, 0.05]))
    color = mix(color, shadow, look.groom[5] * above * jnp.exp(-((lid / 6.5) ** 2)))
    crease = above * jnp.exp(-(((lid - 4.2) / (0.8 + 0.3 * blur)) ** 2))
    color = dim(color, 1 - 0.38 * crease)
    bag = (1 - above) * jnp.exp(-(((lid - 4.5) / 1.5) ** 2))
    color = dim(color, 1 - 0.12 * bag)
    wet = linear(look.skin * jnp.array([0.95, 0.68, 0.66]))
    color = mix(color, wet, (1 - above) * inside(0.9 - lid, blur) * 0.8)
    lashes = linear(look.hair * 0.3)
    thick = 0.9 + 1.3 * look.groom[4] * outer
    color = mix(color, lashes, above * inside(thick - lid, blur) * 0.95)
    return mix(color, lashes, (1 - above) * inside(0.5 - lid, blur) * outer * look.groom[4] * 0.6)


def brow_line(x: jax.Array, look: Look) -> jax.Array:
    """Returns y of the middle of the brow at |x| mm."""
    line = polyline(x, *features.BROW.T.tolist())
    arch = jnp.exp(-(((x - 40) / 12) ** 2))
    return line + look.brow[1] * 0.5 + 0.6 * look.brow[2] * arch


def _brows(
    color: jax.Array, place: jax.Array, front: jax.Array, look: Look, blur: jax.Array
) -> jax.Array:
    x, y = jnp.abs(place[..., 0]), place[..., 1]
    taper = polyline(x, (11, 16, 30, 44, 58), (0.55, 1.0, 1.0, 0.75, 0.2))
    off = jnp.abs(y - brow_line(x, look)) - look.brow[0] * taper
    ends = jnp.minimum(x - 11.5, 59.0 - x)
    hairs = wave((x * 1.0 - y * 1.2) * 1.9) * wave(x * 0.9 + y * 2.3)
    cover = inside(jnp.minimum(-off + 0.5 * hairs, ends), 1.6 + blur) * front
    return mix(color, linear(look.hair * 0.62 + look.skin * 0.08), cover * (0.86 + 0.1 * hairs))


def _lips(
    color: jax.Array, place: jax.Array, front: jax.Array, look: Look, blur: jax.Array
) -> jax.Array:
    x, y = jnp.abs(place[..., 0]), place[..., 1]
    seam = features.seam(x, jnp)
    top, bottom = features.upper_border(x, jnp), features.lower_border(x, jnp)
    depth = jnp.minimum(jnp.minimum(top - y, y - bottom), (features.MOUTH_WIDTH - x) * 0.6)
    cover = inside(depth, 0.9 + blur) * front
    upper = inside(y - seam, 1.0)
    rose = dim(linear(look.lips), 1.0 - 0.2 * upper)
    creases = 1 + 0.05 * wave(place[..., 0] * 2.4 + wave(y)) * cover
    color = mix(color, rose, 0.92 * cover)
    parting = jnp.exp(-(((y - seam) / (0.7 + 0.35 * blur)) ** 2)) * inside(24.5 - x, 2.0) * front
    return dim(color, creases * (1 - 0.62 * parting))


def _occlusion(x: jax.Array, y: jax.Array, z: jax.Array, front: jax.Array) -> jax.Array:
    """How much of the sky each place sees, roughly."""
    socket = 0.20 * spot(x, y, (22.0, 7.0), (11.0, 6.0)) + 0.12 * spot(
        x, y, (14.0, 0.0), (4.0, 7.0)
    )
    under_nose = 0.38 * spot(x, y, (4.0, -44.5), (10.0, 4.0))
    under_lip = 0.22 * spot(x, y, (0.0, -80.0), (14.0, 4.0))
    wing = 0.22 * jnp.exp(-(((x - 18) / 2.2) ** 2 + ((y + 34) / 6) ** 2))
    corner = 0.30 * spot(x, y, (26.0, -65.5), (2.6, 2.6))
    chin = 0.55 * jnp.clip((-98 - y) / 10, 0, 1) * jnp.clip((8 - z) / 30, 0, 1)
    dark = (socket + under_nose + under_lip + wing + corner) * front + chin
    concha = (x > 71) * (z < -62) * spot(y, z, (-14.0, -82.0), (11.0, 7.0)) * 0.6
    jaw = 0.25 * (z < -40) * jnp.clip((-40 - y) / 40, 0, 1)
    return 1 - jnp.clip(dark + concha + jaw, 0, 0.9)


def hairline(place: jax.Array, look: Look) -> jax.Array:
    """Returns how far a point of the head lies inside the hairline, mm (negative outside)."""
    x, y, z = jnp.abs(place[..., 0]), place[..., 1], place[..., 2]
    line = polyline(z, (-110, -92, -80, -66, -52, -30, -5), (-56, -30, 18, -2, 34, 57, 67))
    line = line + look.hairline[0] * jnp.exp(-((x / 22) ** 2))
    return y - line - look.hairline[1] * jnp.exp(-(((x - 42) / 14) ** 2)) * (z > -60)


def _scalp(color: jax.Array, place: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    ragged = 0.8 * wave(place[..., 0] * 0.4 + 1) + wave(0.5 * (place[..., 1] + place[..., 2]))
    ear = (jnp.abs(place[..., 0]) > 71) * (place[..., 2] < -64) * (place[..., 1] < 16)
    cover = inside(hairline(place, look) + ragged, 7.0 + blur) * (1 - ear)
    return mix(color, linear(look.hair * 0.84), 0.93 * cover)


def eye(place: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    """Returns the colour of an eyeball: white, iris, pupil."""
    side = jnp.where(place[..., 0] > 0, 1.0, -1.0)
    a, b = place[..., 0] - side * features.EYEBALL[0], place[..., 1] - features.EYEBALL[1]
    radius = jnp.hypot(a, b)
    # An angle good enough for the iris' fibres, without the slow arctan2.
    across = a / jnp.maximum(jnp.abs(a) + jnp.abs(b), 1e-3)
    angle = jnp.where(b >= 0, 1 - across, 3 + across) * (np.pi / 2)
    veins = 0.4 * jnp.clip((jnp.abs(a) - 8) / 8, 0, 1)
    color = mix(jnp.array([0.80, 0.77, 0.74]), jnp.array([0.80, 0.55, 0.53]), veins)
    fibres = 1 + 0.22 * wave(angle * 23 + look.phase[0]) * wave(angle * 9 + look.phase[1])
    lit = 0.75 + 0.65 * jnp.clip(-b / IRIS_RADIUS, -0.5, 1)
    iris = dim(linear(look.iris) * 1.5, fibres * lit)
    iris = mix(iris, iris * 0.2, inside(radius - IRIS_RADIUS + 1.3, 1.2 + blur))
    color = mix(color, iris, inside(IRIS_RADIUS - radius, 0.4 + blur))
    color = mix(color, jnp.array([0.006, 0.005, 0.005]), inside(PUPIL_RADIUS - radius, 0.3 + blur))
    lid_shadow = 0.5 * jnp.clip((place[..., 1] - 2.2) / 4.5, 0, 1)
    corner = 0.45 * jnp.clip((jnp.abs(a) - 9.5) / 5, 0, 1)
    return dim(color, (1 - lid_shadow) * (1 - corner))


def glint(place: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    """Returns the light that the wet eye mirrors, [...]."""
    side = jnp.where(place[..., 0] > 0, 1.0, -1.0)
    a, b = place[..., 0] - side * features.EYEBALL[0], place[..., 1] - features.EYEBALL[1]
    at = look.key * 4.2
    main = inside(1.5 - jnp.hypot(a - at[0], b - jnp.clip(at[1], 0.8, 2.6)), 0.5 + blur)
    second = inside(0.8 - jnp.hypot(a + at[0] * 0.7, b + 2.2), 0.6 + blur)
    return 1.1 * main + 0.16 * second


def mouth(place: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    """Returns the colour of the cavity with the tongue."""
    x, y = place[..., 0], place[..., 1] - features.MOUTH_Y
    tongue = spot(x, y, (0.0, -9.5), (11.0, 4.0))
    return mix(jnp.array([0.035, 0.008, 0.008]), jnp.array([0.28, 0.07, 0.07]), 0.8 * tongue)


def teeth(place: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    """Returns the colour of teeth: ivory with gaps, darker towards the cheeks."""
    x, y = place[..., 0], place[..., 1] - features.MOUTH_Y
    wide = jnp.where(y > -2.8, 6.2, 4.6)
    gap = jnp.abs(wave(jnp.pi * x / wide)) * wide / jnp.pi
    line = 1 - 0.35 * inside(0.35 - gap, 0.3 + blur)
    far = jnp.clip(1.05 - (jnp.abs(x) / 21) ** 2, 0.1, 1)
    gum = inside(jnp.where(y > -2.8, y - 2.5, -7.2 - y), 0.8 + blur)
    ivory = dim(jnp.array([0.72, 0.66, 0.54]), line * far)
    return mix(ivory, dim(jnp.array([0.42, 0.13, 0.13]), far), gum)


def hair(place: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    """Returns the colour of hair: strands that run from the crown to the tips."""
    turn, share, along = place[..., 0], place[..., 1], place[..., 2]
    p, curls = look.phase, look.hair_shape[3]
    bend = turn + 0.02 * curls * wave(along / 13 + p[5]) + 0.012 * wave(along / 31 + p[6])
    locks = wave(bend * 23 + p[0]) + 0.8 * wave(bend * 41 + p[1] + 0.4 * wave(along / 17))
    fine = wave(bend * 97 + p[2]) * wave(bend * 61 + along / 9 + p[3])
    curl = jnp.clip(curls - 1.5, 0, 3) / 3 * wave(along / 4.5 + 3 * wave(turn * 7 + p[4]))
    value = 1 + 0.13 * locks + 0.12 * fine + 0.22 * curl
    root = 0.72 + 0.28 * jnp.clip(share * 3, 0, 1)
    tips = 1 + 0.25 * share**3
    return dim(linear(look.hair), jnp.clip(value, 0.4, 1.8) * root * tips)


def body(place: jax.Array, look: Look, blur: jax.Array) -> jax.Array:
    """Returns the colour of the neck and of the clothes on the shoulders."""
    x, y, z = place[..., 0], place[..., 1], place[..., 2]
    shade = 0.42 + 0.58 * jnp.clip((-90 - y) / 45, 0, 1)
    neck = dim(linear(look.skin), shade * _mottle(place, look))
    cord = jnp.exp(-(((jnp.abs(x) - 20 + (y + 131) * 0.25) / 4) ** 2)) * jnp.clip(
        (-110 - y) / 30, 0, 1
    )
    neck = dim(neck, 1 - 0.10 * cord)
    deep, wide = look.collar[0], look.collar[1]
    front = jax.nn.sigmoid((z + 60) / 8)
    edge = -127 - deep * jnp.clip(1 - jnp.abs(x) / wide, 0, 1) * front - 4 * front
    cover = inside(edge - y, 0.5 + blur)
    stripes = look.collar[2] * inside(wave(y / 6.5) * 5, 1.5 + blur)
    cloth = mix(linear(look.cloth[0]), linear(look.cloth[1]), stripes)
    folds = (
        1 + 0.10 * wave(x / 23 + 2 * wave(y / 31 + look.phase[0])) + 0.04 * wave(x * 1.1 + y * 0.3)
    )
    hem = inside(4.5 - jnp.abs(edge - y - 3), 0.5 + blur)
    cloth = dim(cloth, folds * (1 - 0.22 * hem))
    under = 1 - 0.35 * inside(edge + 5 - y, 6.0) * (1 - cover)
    return mix(dim(neck, under), cloth, cover)


def wall(x: jax.Array, y: jax.Array, look: Look) -> jax.Array:
    """Returns the background at (x, y), in units of half the image, y up."""
    tilt = jnp.clip(0.5 + 0.42 * y + 0.16 * x * jnp.sign(look.key[0]), 0, 1)
    color = mix(linear(look.wall[1]), linear(look.wall[0]), tilt)
    for shape in look.shapes:
        dx, dy = jnp.abs(x - shape[0]) / shape[2], jnp.abs(y - shape[1]) / shape[3]
        round_, panel = jnp.hypot(dx, dy), jnp.maximum(dx, 0.45 * dy)
        off = jnp.where(shape[6] > 0.5, panel, round_) - 1
        cover = jax.nn.sigmoid(-off / shape[4])
        color = mix(color, color * 0.4 + 0.6 * shape[5] ** 2.2, 0.55 * cover)
    return dim(color, 1 - 0.12 * (x**2 + y**2))
