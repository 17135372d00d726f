"""Frozen graphs in the layout of DeepSpeech v0.1.0, written byte by byte: no TensorFlow."""

import numpy as np


def weights(width=4, inputs=494, labels=29, seed=0, spelling=("kernel", "bias")):
    """The graph's constants by name, random."""
    rng, cell = np.random.default_rng(seed), "bidirectional_rnn/{}/basic_lstm_cell/{}"
    sizes = {1: (inputs, width), 2: (width, width), 3: (width, 2 * width)}
    sizes |= {5: (2 * width, width), 6: (width, labels)}
    matrices = {(f"h{k}", f"b{k}"): size for k, size in sizes.items()}
    for way in ("fw", "bw"):
        names = (cell.format(way, spelling[0]), cell.format(way, spelling[1]))
        matrices[names] = (3 * width, 4 * width)
    constants = {}
    for (kernel, bias), (rows, columns) in matrices.items():
        constants[kernel] = (rng.normal(size=(rows, columns)) / rows**0.5).astype(np.float32)
        constants[bias] = rng.normal(size=columns).astype(np.float32)
    return constants


def varint(number):
    """A number, seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """One field of a message: a number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(array, dtype=1):
    """A TensorProto with its values in one run of bytes."""
    dims = b"".join(field(2, field(1, size)) for size in array.shape)
    return field(1, dtype) + field(2, dims) + field(4, array.tobytes())


def constant(name, message):
    """A field of GraphDef: the node Const of a tensor."""
    value = field(5, field(1, b"value") + field(2, field(8, message)))
    kind = field(5, field(1, b"dtype") + field(2, field(6, 1)))
    return field(1, field(1, name.encode()) + field(2, b"Const") + kind + value)


def graph(constants):
    """A GraphDef with these constants, a placeholder before them and its version behind."""
    before = field(1, field(1, b"input_node") + field(2, b"Placeholder"))
    nodes = b"".join(constant(name, tensor(value)) for name, value in constants.items())
    return before + nodes + field(4, field(1, 24))
