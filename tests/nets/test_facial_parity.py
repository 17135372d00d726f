"""Our nets against the same nets of plain torch layers, in the published layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facejax.nets import facial, facial_torch, facial_video, patches
from tests.nets import test_facial_torch as layout
from tests.nets.contracts import function, moved

torch = pytest.importorskip("torch", reason="torch, the oracle of these tests, is not installed")
nn, F = torch.nn, torch.nn.functional


@pytest.fixture(autouse=True)
def reproducible():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def randomise_statistics(net):
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            for scale in (layer.running_var, layer.weight):
                scale.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.1)
    return net


def tensors(net):
    # Copies: training moves the statistics while ours, which run beside it, still read them.
    return {name: value.numpy().copy() for name, value in net.state_dict().items()}


def assert_close(ours, theirs, atol=1e-5):
    theirs = theirs.numpy()
    if theirs.ndim == 4:
        theirs = theirs.transpose(0, 2, 3, 1)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=atol * max(1, np.abs(theirs).max()))


class Level(nn.Module):
    """One level of the published U-net around the next."""

    def __init__(self, above, below, inside, outermost=False):
        super().__init__()
        down = nn.Conv1d(above, below, 4, 2, 1, bias=False)
        up_in = 2 * below if inside else below
        up = nn.ConvTranspose1d(up_in, above, 4, 2, 1, bias=outermost)
        self.outermost = outermost
        if outermost:
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside:
            layers = [nn.LeakyReLU(0.2), down, nn.BatchNorm1d(below), inside,
                      nn.ReLU(), up, nn.BatchNorm1d(above)]  # fmt: skip
        else:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, nn.BatchNorm1d(above)]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


class Local(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = (29, 32, 32, 64, 64)
        for i in range(4):
            conv = nn.Conv2d(sizes[i], sizes[i + 1], (3, 1), (2, 1), (1, 0))
            block = nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(sizes[i + 1]))
            setattr(self, f"conv{i + 1}", block)
        self.fc1, self.bn1, self.fc2 = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Linear(64, 71)

    def forward(self, window, z):
        """[B, 16, 29], [B, 32] -> [B, 71]."""
        x = window.transpose(1, 2)[..., None]
        for i in range(4):
            x = getattr(self, f"conv{i + 1}")(x)
        c = self.bn1(torch.tanh(self.fc1(x.flatten(1))))
        return self.fc2(torch.cat([c, z], 1))


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        for name, conv in {
            "11": nn.Conv2d(1, 32, 4, 2, (2, 0)),
            "21": nn.Conv2d(32, 128, 4, 2, (2, 0)),
            "31": nn.Conv2d(128, 256, 4, 1, (2, 0)),
            "41": nn.Conv2d(256, 256, (3, 1), 1, (1, 0)),
            "42": nn.Conv1d(327, 256, 3, 1, 1),
            "52": nn.Conv1d(256, 256, 3, 1, 1),
        }.items():
            norm = nn.BatchNorm2d if isinstance(conv, nn.Conv2d) else nn.BatchNorm1d
            setattr(self, f"conv{name}", conv)
            setattr(self, f"bn{name}", norm(conv.out_channels))
        self.conv62 = nn.Conv1d(256, 32, 3, 1, 1)
        net = None
        for above, below in ((512, 512), (512, 512), (256, 512), (256, 256)):
            net = Level(above, below, net)
        self.model = Level(256, 256, net, outermost=True)
        self.G1 = Local()

    def forward(self, windows, state):
        """[B, T, 16, 29], [B, 71] -> [B, T, 71]."""
        x, frames = windows[:, None, :, 8], windows.shape[1]
        for name in ("11", "21", "31", "41"):
            x = F.leaky_relu(getattr(self, f"bn{name}")(getattr(self, f"conv{name}")(x)))
        x = F.interpolate(x.flatten(2), frames, mode="linear", align_corners=True)
        x = self.model(x)
        x = torch.cat([x, state[..., None].expand(-1, -1, frames)], 1)
        for name in ("42", "52"):
            x = F.leaky_relu(getattr(self, f"bn{name}")(getattr(self, f"conv{name}")(x)))
        z = self.conv62(x)
        return torch.stack([self.G1(windows[:, t], z[..., t]) for t in range(frames)], 1)


def discriminator():
    layers, sizes = [], (1, 64, 128, 256, 512)
    for i in range(4):
        conv = nn.Conv2d(sizes[i], sizes[i + 1], 3, 2 if i < 3 else 1, 1, bias=i == 0)
        norm = [nn.BatchNorm2d(sizes[i + 1])] if i else []
        layers += [conv, *norm, nn.LeakyReLU(0.2)]
    net = nn.Module()
    net.model = nn.Sequential(*layers, nn.Conv2d(512, 1, 3, 1, 1))
    return net


class Residual(nn.Module):
    def __init__(self, size):
        super().__init__()
        conv = [nn.ReflectionPad2d(1), nn.Conv2d(size, size, 3), nn.InstanceNorm2d(size)]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(size, size, 3), nn.InstanceNorm2d(size)]
        self.conv_block = nn.Sequential(*conv, nn.ReLU(), *again)

    def forward(self, x):
        return x + self.conv_block(x)


class Video(nn.Module):
    def __init__(self, width, channels):
        super().__init__()
        half = width // 2

        def first(size):
            return [nn.ReflectionPad2d(3), *then(nn.Conv2d(channels, size, 7))]

        def then(conv):
            return [conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()]

        def down(size):
            return then(nn.Conv2d(size, 2 * size, 3, 2, 1))

        def up(size):
            return then(nn.ConvTranspose2d(2 * size, size, 3, 2, 1, 1))

        sizes = [width * 2**i for i in range(4)]
        self.model = nn.Sequential(
            *first(width),
            *(layer for size in sizes for layer in down(size)),
            *(Residual(16 * width) for _ in range(4)),
            *(layer for size in reversed(sizes) for layer in up(size)),
        )
        self.model1_1 = nn.Sequential(*first(half), *down(half))
        self.model1_2 = nn.Sequential(
            *(Residual(width) for _ in range(3)),
            *up(half),
            nn.ReflectionPad2d(3),
            nn.Conv2d(half, 3, 7),
            nn.Tanh(),
        )

    def forward(self, x):
        coarse = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return self.model1_2(self.model(coarse) + self.model1_1(x))


class VideoDiscriminator(nn.Module):
    def __init__(self, width, channels):
        super().__init__()
        sizes = (channels, width, 2 * width, 4 * width, 8 * width, 1)
        for scale in range(3):
            for i in range(5):
                conv = nn.Conv2d(sizes[i], sizes[i + 1], 4, 2 if i < 3 else 1, 2)
                norm = [nn.InstanceNorm2d(sizes[i + 1])] if i in (1, 2, 3) else []
                act = [nn.LeakyReLU(0.2)] if i < 4 else []
                setattr(self, f"scale{scale}_layer{i}", nn.Sequential(conv, *norm, *act))

    def forward(self, x):
        outputs = []
        for scale in (2, 1, 0):
            y, layers = x, []
            for i in range(5):
                y = getattr(self, f"scale{scale}_layer{i}")(y)
                layers.append(y)
            outputs.append(layers)
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return outputs


def same_layout(net, state):
    assert {name: value.shape for name, value in tensors(net).items()} == {
        name: value.shape for name, value in state.items()
    }


@pytest.fixture(scope="module")
def released():
    torch.manual_seed(1)
    with torch.no_grad():
        return randomise_statistics(Generator()), torch.randn(4, 32, 16, 29), torch.randn(4, 71)


def test_the_layouts_are_those_that_the_importer_is_tested_with():
    same_layout(Generator(), layout.generator_state())
    same_layout(discriminator(), layout.discriminator_state())
    same_layout(Video(4, 5), layout.video_generator_state(4, 5))
    same_layout(VideoDiscriminator(4, 5), layout.video_discriminator_state(4, 5))


def test_the_generator_in_use_is_torchs(released):
    net, windows, state = released
    params, stats = facial_torch.generator(tensors(net))
    run = function(facial.released(), train=False)
    ours = run({"params": params, "batch_stats": stats}, windows.numpy(), state.numpy())
    assert_close(ours, net.eval()(windows, state))


@pytest.mark.slow
def test_the_generator_in_training_is_torchs_with_its_loop_over_the_frames(released):
    net, windows, state = released
    params, stats = facial_torch.generator(tensors(net))
    run = moved(facial.released())
    ours, updated = run({"params": params, "batch_stats": stats}, windows.numpy(), state.numpy())
    # Four sequences leave four values to a frame's statistics: differences are amplified.
    assert_close(ours, net.train()(windows, state), atol=1e-3)
    _, due = facial_torch.generator(tensors(net))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        updated["batch_stats"],
        due,
    )


def test_the_discriminator_is_torchs():
    net = randomise_statistics(discriminator()).eval()
    x = torch.randn(2, 16, 71)
    params, stats = facial_torch.discriminator(tensors(net))
    run = function(patches.SequenceDiscriminator(), train=False)
    scores = run({"params": params, "batch_stats": stats}, x.numpy())
    due = net.model(torch.cat([x, x[:, 1:] - x[:, :-1]], 1)[:, None])
    assert_close(scores.scores[0], due)


def test_the_video_generator_is_torchs():
    net, x = Video(4, 5), torch.randn(1, 5, 192, 256)
    run = function(facial_video.VideoGenerator(4))
    params = facial_torch.video_generator(tensors(net))
    ours = run({"params": params}, x.numpy().transpose(0, 2, 3, 1))
    # In double precision: instance norm of few pixels makes torch's own rounding as large as ours.
    assert_close(ours, net.double()(x.double()))


def test_the_video_discriminator_is_torchs():
    net, x = VideoDiscriminator(4, 5), torch.randn(2, 5, 48, 40)
    run = function(facial_video.discriminator(4), train=False)
    params = facial_torch.video_discriminator(tensors(net))
    ours = run({"params": params}, jnp.asarray(x.numpy().transpose(0, 2, 3, 1)))
    for scale, layers in enumerate(net(x)):
        assert_close(ours.scores[scale], layers[-1])
        for feature, due in zip(ours.features[scale], layers[:-1], strict=True):
            assert_close(feature, due)
