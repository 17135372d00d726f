import numpy as np

from facejax.metrics import faces


def people(count=3, frames=12, seed=0):
    """Discs in each one's colour that move about, with landmarks on them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32] + 0.5
    images, landmarks = [], []
    person = np.repeat(np.arange(count), frames)
    for number in person:
        centre = rng.uniform(10, 22, 2)
        image = np.full((32, 32, 3), 40, np.uint8)
        image[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < 64] = np.eye(3)[number] * 180 + 40
        images.append(image)
        around = 6 * np.stack([np.cos(np.arange(68)), np.sin(np.arange(68))], -1)
        landmarks.append(centre + around)
    return np.stack(images), np.stack(landmarks).astype(np.float32), person


def test_a_judge_tells_people_apart_and_finds_their_landmarks():
    judge = faces.train(*people(), steps=60)
    images, landmarks, person = people(seed=1)
    said = faces.say(judge, images.astype(np.float32) / 127.5 - 1)
    np.testing.assert_allclose(np.linalg.norm(said.embedding, axis=-1), 1, atol=1e-5)
    assert faces.told_apart(said.embedding, person) > 0.95
    still = np.linalg.norm(landmarks - landmarks.mean(0), axis=-1).mean()
    assert np.linalg.norm(said.landmarks - landmarks, axis=-1).mean() < 0.7 * still


def test_being_told_apart_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(7, 4))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    person = np.array([0, 0, 1, 1, 1, 2, 2])
    same, other = [], []
    for i in range(7):
        for j in range(i):
            (same if person[i] == person[j] else other).append(vectors[i] @ vectors[j])
    due = np.mean([[a > b for b in other] for a in same])
    np.testing.assert_allclose(faces.told_apart(vectors, person), due)


def test_mouth_distance_ignores_where_the_mouth_is_and_what_else_moves():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4, 68, 2))
    moved = truth + np.array([3.0, -2.0])
    moved[:, :48] += 5
    np.testing.assert_allclose(faces.mouth_distance(moved, truth), 0, atol=1e-12)
    moved[:, 48:58, 1] += 1  # half of the points one way, about the middle half a pixel each
    np.testing.assert_allclose(faces.mouth_distance(moved, truth), 0.5, atol=1e-12)


def test_csim_is_the_cosine():
    angle = np.array([0.0, 0.4, np.pi])
    one = np.stack([np.ones(3), np.zeros(3)], -1)
    other = np.stack([np.cos(angle), np.sin(angle)], -1)
    np.testing.assert_allclose(faces.csim(one, other), np.cos(angle))
