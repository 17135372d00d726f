/* The usual z-buffer, for the benchmarks: one thread, a loop over the triangles, a loop over the
   pixels of each one's bounding box, the nearest kept.

   Two ways of the same loop. The plain one is what face libraries commonly do: barycentric weights
   by dot products, once for the inside test and once for the depth; their rounding smears slivers
   over a few pixels beyond their ends. The careful one uses edge functions, with all that does not
   change within a triangle taken out of the inner loop.

   Pixels: the centre of pixel (row i, column j) is (j + 0.5, i + 0.5); smaller z is nearer; edges
   belong to the triangle; of equal depths the first triangle stays. */

#include <math.h>
#include <stdint.h>

typedef struct {
    float x, y, z;
} point;

typedef struct {
    int left, right, top, bottom;
} box;

static float least(float a, float b) { return a < b ? a : b; }
static float most(float a, float b) { return a > b ? a : b; }

/* The pixels whose centres lie in the bounding box, clamped to the image. */
static box bounds(point a, point b, point c, int height, int width)
{
    box in;
    in.left = (int)most(ceilf(least(a.x, least(b.x, c.x)) - 0.5f), 0);
    in.right = (int)least(floorf(most(a.x, most(b.x, c.x)) - 0.5f), width - 1);
    in.top = (int)most(ceilf(least(a.y, least(b.y, c.y)) - 0.5f), 0);
    in.bottom = (int)least(floorf(most(a.y, most(b.y, c.y)) - 0.5f), height - 1);
    return in;
}

static void clear(float *depth, int32_t *id, long pixels)
{
    for (long pixel = 0; pixel < pixels; pixel++) {
        depth[pixel] = INFINITY;
        id[pixel] = -1;
    }
}

/* Weights of the three corners at (x, y): Cramer's rule for p - a = v (b - a) + w (c - a). */
static void weights(point a, point b, point c, float x, float y, float *weight)
{
    float abx = b.x - a.x, aby = b.y - a.y, acx = c.x - a.x, acy = c.y - a.y;
    float apx = x - a.x, apy = y - a.y;
    float bb = abx * abx + aby * aby, cc = acx * acx + acy * acy, bc = abx * acx + aby * acy;
    float pb = apx * abx + apy * aby, pc = apx * acx + apy * acy;
    float determinant = bb * cc - bc * bc;
    float inverse = determinant == 0 ? 0 : 1 / determinant;
    weight[1] = (cc * pb - bc * pc) * inverse;
    weight[2] = (bb * pc - bc * pb) * inverse;
    weight[0] = 1 - weight[1] - weight[2];
}

static int inside(point a, point b, point c, float x, float y)
{
    float weight[3];
    weights(a, b, c, x, y, weight);
    return weight[0] >= 0 && weight[1] >= 0 && weight[2] >= 0;
}

/* Draws one frame. With colours, they are interpolated wherever a triangle is the nearest so far. */
static void draw(const point *vertices, const int32_t *faces, int num_faces, int height, int width,
                 float *depth, int32_t *id, const float *colors, int channels, float *image)
{
    for (int t = 0; t < num_faces; t++) {
        const int32_t *corner = faces + 3 * t;
        point a = vertices[corner[0]], b = vertices[corner[1]], c = vertices[corner[2]];
        box in = bounds(a, b, c, height, width);
        for (int row = in.top; row <= in.bottom; row++)
            for (int column = in.left; column <= in.right; column++) {
                float x = column + 0.5f, y = row + 0.5f, weight[3];
                if (!inside(a, b, c, x, y)) continue;
                weights(a, b, c, x, y, weight);
                float z = weight[0] * a.z + weight[1] * b.z + weight[2] * c.z;
                int pixel = row * width + column;
                if (!(z < depth[pixel])) continue;
                depth[pixel] = z;
                id[pixel] = t;
                for (int k = 0; k < channels; k++) {
                    float sum = 0;
                    for (int j = 0; j < 3; j++) sum += weight[j] * colors[corner[j] * channels + k];
                    image[pixel * channels + k] = sum;
                }
            }
    }
}

/* The same frame, ids and depth only, with the constants of a triangle computed once. */
static void draw_careful(const point *vertices, const int32_t *faces, int num_faces, int height,
                         int width, float *depth, int32_t *id)
{
    for (int t = 0; t < num_faces; t++) {
        const int32_t *corner = faces + 3 * t;
        point a = vertices[corner[0]], b = vertices[corner[1]], c = vertices[corner[2]];
        box in = bounds(a, b, c, height, width);
        if (in.left > in.right || in.top > in.bottom) continue;
        float abx = b.x - a.x, aby = b.y - a.y, acx = c.x - a.x, acy = c.y - a.y;
        float area = abx * acy - aby * acx;
        if (area == 0) continue;
        float inverse = 1 / area, abz = (b.z - a.z) * inverse, acz = (c.z - a.z) * inverse;
        float sign = area < 0 ? -1 : 1;
        area *= sign;
        for (int row = in.top; row <= in.bottom; row++)
            for (int column = in.left; column <= in.right; column++) {
                float apx = column + 0.5f - a.x, apy = row + 0.5f - a.y;
                float v = apx * acy - apy * acx, w = abx * apy - aby * apx;
                if (!(sign * v >= 0 && sign * w >= 0 && sign * (v + w) <= area)) continue;
                float z = a.z + v * abz + w * acz;
                int pixel = row * width + column;
                if (!(z < depth[pixel])) continue;
                depth[pixel] = z;
                id[pixel] = t;
            }
    }
}

/* vertices [frames, num_vertices, 3], faces [num_faces, 3] -> depth and id [frames, height, width],
   infinity and -1 where nothing is drawn. With channels > 0 also colors [num_vertices, channels] ->
   image [frames, height, width, channels]; careful is then ignored. */
void zbuffer(const float *vertices, const int32_t *faces, int frames, int num_vertices,
             int num_faces, int height, int width, int careful, float *depth, int32_t *id,
             const float *colors, int channels, float *image)
{
    long pixels = (long)height * width;
    clear(depth, id, frames * pixels);
    for (long k = 0; k < frames * pixels * channels; k++) image[k] = 0;
    for (int f = 0; f < frames; f++) {
        const point *frame = (const point *)vertices + (long)f * num_vertices;
        float *nearest = depth + f * pixels;
        int32_t *owner = id + f * pixels;
        if (careful && !channels)
            draw_careful(frame, faces, num_faces, height, width, nearest, owner);
        else
            draw(frame, faces, num_faces, height, width, nearest, owner, colors, channels,
                 image + f * pixels * channels);
    }
}
