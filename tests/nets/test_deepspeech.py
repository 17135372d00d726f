import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax import graph_weights
from facejax.errors import InputError
from facejax.nets import deepspeech
from facejax.nets.deepspeech import DeepSpeech
from tests import fake_graph

WIDTH, INPUTS, LABELS = 4, 6, 5
LENGTHS = np.array([7, 4])  # of two utterances in a batch of 7 rows


@pytest.fixture
def constants():
    return fake_graph.weights(WIDTH, INPUTS, LABELS)


@pytest.fixture
def features():
    return np.random.default_rng(1).normal(size=(2, 7, INPUTS)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow_lstm(rows, kernel, bias):
    """BasicLSTMCell with a forget bias of 1, one row at a time, in float64."""
    width = len(bias) // 4
    cell = hidden = np.zeros(width)
    out = []
    for row in rows:
        gates = np.concatenate([row, hidden]) @ kernel + bias
        i, j, f, o = (gates[k * width : (k + 1) * width] for k in range(4))
        cell = cell * sigmoid(f + 1) + sigmoid(i) * np.tanh(j)
        hidden = np.tanh(cell) * sigmoid(o)
        out.append(hidden)
    return np.array(out)


def slow_logits(rows, c, cell="bidirectional_rnn/{}/basic_lstm_cell/{}"):
    """The net on one utterance [T, C]."""
    c = {name: value.astype(np.float64) for name, value in c.items()}
    x = rows.astype(np.float64)
    for k in (1, 2, 3):
        x = np.minimum(np.maximum(x @ c[f"h{k}"] + c[f"b{k}"], 0), 20)
    ways = {"fw": x, "bw": x[::-1]}
    fw, bw = (
        slow_lstm(rows, c[cell.format(way, "kernel")], c[cell.format(way, "bias")])
        for way, rows in ways.items()
    )
    x = np.concatenate([fw, bw[::-1]], axis=1)
    x = np.minimum(np.maximum(x @ c["h5"] + c["b5"], 0), 20)
    return x @ c["h6"] + c["b6"]


NET = jax.jit(DeepSpeech(WIDTH, LABELS).apply)


def apply(constants, features, lengths=None):
    return NET({"params": deepspeech.from_graph(constants)}, features, lengths)


def test_the_published_net_has_its_size():
    logits, variables = jax.eval_shape(
        lambda x: DeepSpeech().init_with_output(jax.random.key(0), x), jnp.zeros((2, 50, 494))
    )
    assert logits.shape == (2, 50, 29)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 122_732_573
    counts = {
        name: sum(leaf.size for leaf in layer.values())
        for name, layer in variables["params"].items()
    }
    assert counts == {
        "layer_1": 1_013_760, "layer_2": 4_196_352, "layer_3": 8_392_704, "forward": 50_339_840,
        "backward": 50_339_840, "layer_5": 8_390_656, "layer_6": 59_421,
    }  # fmt: skip


def test_equals_the_slow_loop_at_every_length(constants, features):
    constants["h1"] *= 8  # so that some units reach the ceiling
    got = apply(constants, features, LENGTHS)
    for logits, rows, length in zip(got, features, LENGTHS, strict=True):
        due = slow_logits(rows[:length], constants)
        np.testing.assert_allclose(logits[:length], due, rtol=1e-4, atol=1e-5)


def test_without_lengths_every_row_counts(constants, features):
    due = apply(constants, features, np.array([7, 7]))
    np.testing.assert_array_equal(apply(constants, features), due)


def test_rows_past_the_end_change_nothing_before(constants, features):
    noisy = features.copy()
    noisy[1, 4:] = 100
    due, got = (apply(constants, x, LENGTHS)[1, :4] for x in (features, noisy))
    np.testing.assert_array_equal(got, due)


def test_the_ceiling_cuts_and_gradients_stay_finite():
    x = jnp.array([-1.0, 0.0, 5.0, 20.0, 1e6])
    np.testing.assert_array_equal(deepspeech.clipped_relu(x), [0, 0, 5, 20, 20])
    assert np.isfinite(jax.grad(lambda x: deepspeech.clipped_relu(x).sum())(x)).all()


def test_reversal_by_length_is_its_own_inverse(features):
    once = deepspeech.reversed_in_time(jnp.asarray(features), LENGTHS)
    np.testing.assert_array_equal(once[1, :4], features[1, 3::-1])
    np.testing.assert_array_equal(once[1, 4:], features[1, 4:])
    np.testing.assert_array_equal(deepspeech.reversed_in_time(once, LENGTHS), features)


def test_both_spellings_of_the_cell_are_read(constants):
    old = fake_graph.weights(WIDTH, INPUTS, LABELS, spelling=("weights", "biases"))
    due, got = deepspeech.from_graph(constants), deepspeech.from_graph(old)
    jax.tree.map(np.testing.assert_array_equal, got, due)


def test_converted_weights_fit_the_net(constants):
    params = deepspeech.from_graph(constants)
    due = jax.eval_shape(
        lambda: DeepSpeech(WIDTH, LABELS).init(jax.random.key(0), jnp.zeros((1, 3, INPUTS)))
    )["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, due)


@pytest.mark.parametrize("name", sorted(fake_graph.weights(2, 3, 4)))
def test_a_constant_that_is_missing_or_of_another_shape_is_named(constants, name):
    whole = constants.pop(name)
    with pytest.raises(ValueError, match=f"no constant '{name}'"):
        deepspeech.from_graph(constants)
    constants[name] = whole[..., :-1]
    with pytest.raises(ValueError, match=r"has '\w.*' of shape .*; due"):
        deepspeech.from_graph(constants)


def tensorflow_graph(tf, constants, spelling):
    """The same net in TensorFlow's operations, its LSTM one of TensorFlow's own kernels."""
    v1 = tf.compat.v1
    with v1.Graph().as_default() as graph:
        c = {
            name.replace("kernel", spelling[0]).replace("bias", spelling[1]): value
            for name, value in constants.items()
        }
        c = {name: tf.constant(value, name=name) for name, value in c.items()}
        x = v1.placeholder(tf.float32, (None, None, INPUTS), "input_node")
        lengths = v1.placeholder(tf.int32, (None,), "input_lengths")
        for k in (1, 2, 3):
            x = tf.minimum(tf.nn.relu(tf.einsum("btc,cd->btd", x, c[f"h{k}"]) + c[f"b{k}"]), 20)
        ways = []
        for way in ("fw", "bw"):
            turned = tf.reverse_sequence(x, lengths, 1) if way == "bw" else x
            cell = [c[f"bidirectional_rnn/{way}/basic_lstm_cell/{s}"] for s in spelling]
            zero = tf.zeros((tf.shape(x)[0], WIDTH))
            hidden = tf.raw_ops.BlockLSTM(
                seq_len_max=tf.cast(tf.shape(x)[1], tf.int64), x=tf.transpose(turned, (1, 0, 2)),
                cs_prev=zero, h_prev=zero, w=cell[0], b=cell[1],
                wci=tf.zeros(WIDTH), wcf=tf.zeros(WIDTH), wco=tf.zeros(WIDTH),
                forget_bias=1, cell_clip=-1, use_peephole=False,
            ).h  # fmt: skip
            hidden = tf.transpose(hidden, (1, 0, 2))
            ways.append(tf.reverse_sequence(hidden, lengths, 1) if way == "bw" else hidden)
        x = tf.concat(ways, -1)
        x = tf.minimum(tf.nn.relu(tf.einsum("btc,cd->btd", x, c["h5"]) + c["b5"]), 20)
        tf.add(tf.einsum("btc,cd->btd", x, c["h6"]), c["b6"], name="logits")
    return graph


@pytest.mark.parametrize("spelling", [("kernel", "bias"), ("weights", "biases")])
def test_a_graph_that_tensorflow_wrote_and_ran_gives_the_same_logits(
    tmp_path, constants, features, spelling
):
    tf = pytest.importorskip("tensorflow")
    constants["b2"][:] = 0.25
    graph = tensorflow_graph(tf, constants, spelling)
    path = tmp_path / "output_graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    with tf.compat.v1.Session(graph=graph) as session:
        feed = {"input_node:0": features, "input_lengths:0": LENGTHS}
        due = session.run("logits:0", feed)
    got = apply(graph_weights.read(path), features, LENGTHS)
    for k, length in enumerate(LENGTHS):
        np.testing.assert_allclose(got[k, :length], due[k, :length], rtol=1e-4, atol=1e-5)


def test_a_tensor_whose_values_tensorflow_repeats_is_read(tmp_path):
    tf = pytest.importorskip("tensorflow")
    with tf.Graph().as_default() as graph:
        tf.compat.v1.constant(0.5, shape=(2, 3), name="flat")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    np.testing.assert_array_equal(graph_weights.read(path)["flat"], np.full((2, 3), 0.5))


def test_a_graph_of_tensorflow_cut_short_is_refused(tmp_path, constants):
    tf = pytest.importorskip("tensorflow")
    data = tensorflow_graph(tf, constants, ("kernel", "bias")).as_graph_def().SerializeToString()
    path = tmp_path / "output_graph.pb"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut short"):
        graph_weights.read(path)
