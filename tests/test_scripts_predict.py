from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import script
from numpy.typing import NDArray
from PIL import Image
from shell import SCRIPTS, Shell, refused
from test_scripts_evaluate import X, nearest_mean
from variants import params

from xpnet import Affine, Convolution, Flatten, MultiLayerNet, Network, SimpleConvNet, save_weights

predict = script("predict")

PIXELS = np.round(X[:250] * 255).astype(np.uint8).reshape(250, 28, 28)
LINE = re.compile(r"(.+): (.+)")


def expected(x: NDArray[Any]) -> NDArray[Any]:
    """Compute the probabilities of images of numbers from 0 to 1."""
    network = nearest_mean("float64")
    scores = x.reshape(-1, 784).astype(np.float64) @ network.params["W1"] + network.params["b1"]
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_weights("weights.safetensors", nearest_mean(), {"dataset": "mnist-5k"})


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, dict[str, float]]:
    """Predict; give the classes' probabilities, in order, by the images' names."""
    assert predict.main(["weights.safetensors", *map(str, arguments)]) == 0
    lines = [LINE.fullmatch(line) for line in capsys.readouterr().out.splitlines()]
    found = {}
    for line in lines:
        assert line
        parts = [part.rpartition(" ") for part in line[2].split("  ")]
        found[line[1]] = {name: float(p) for name, _, p in parts}
    return found


def check(found: dict[str, float], p: NDArray[Any], number: int = 3) -> None:
    best = np.argsort(-p)[:number]
    assert list(found) == [str(k) for k in best]
    assert list(found.values()) == [pytest.approx(p[k], abs=1e-4) for k in best]


def test_image_file(capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(PIXELS[0]).save("digit.png")
    found = said(capsys, "digit.png")
    assert list(found) == ["digit.png"]
    check(found["digit.png"], expected(X[:1])[0])


@pytest.mark.parametrize("number", [1, 2, 10, 11])
def test_top(capsys: pytest.CaptureFixture[str], number: int) -> None:
    np.save("x.npy", PIXELS[3])
    check(said(capsys, "x.npy", "--top", number)["x.npy"], expected(X[3:4])[0], number)


def test_several_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(PIXELS[1]).save("one.png")
    np.save("batch.npy", PIXELS[2:4])
    np.save("single.npy", PIXELS[4])
    found = said(capsys, "batch.npy", "one.png", "single.npy")
    assert list(found) == ["batch.npy[0]", "batch.npy[1]", "one.png", "single.npy"]
    for line, k in zip(found.values(), (2, 3, 1, 4), strict=True):
        check(line, expected(X[k:k + 1])[0])


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (784,), (1, 784)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f8"])
def test_single_array(
    capsys: pytest.CaptureFixture[str], shape: tuple[int, ...], dtype: str
) -> None:
    x = PIXELS[:1] if dtype == "uint8" else (PIXELS[:1] / 255).astype(dtype)
    np.save("x.npy", x.reshape(shape))
    (found,) = said(capsys, "x.npy").values()
    p = expected(x / 255 if dtype == "uint8" else x)[0]
    assert list(found.values()) == [pytest.approx(v, abs=1e-4) for v in sorted(-p)[:3] * np.array(-1)]


@pytest.mark.parametrize("shape", [(250, 28, 28), (250, 1, 28, 28), (250, 784)])
def test_batches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    rows: list[int] = []
    softmax = predict.softmax

    def spy(y: NDArray[Any]) -> Any:
        rows.append(len(y))
        return softmax(y)

    monkeypatch.setattr(predict, "softmax", spy)
    np.save("x.npy", np.asfortranarray(PIXELS.reshape(shape)))
    found = said(capsys, "x.npy")
    assert rows == [100, 100, 50]
    assert list(found) == [f"x.npy[{k}]" for k in range(250)]
    for line, p in zip(found.values(), expected(X[:250]), strict=True):
        assert list(line.values()) == [pytest.approx(v, abs=1e-4) for v in np.sort(p)[:-4:-1]]


def rgba(alpha: NDArray[Any], colour: int) -> Image.Image:
    a = np.full((28, 28, 4), colour, np.uint8)
    a[..., 3] = alpha
    return Image.fromarray(a)


def palette(transparent: int) -> Image.Image:
    image = Image.fromarray(PIXELS[0] // 128).convert("P")
    image.putpalette([255] * 6)  # white, both
    image.info["transparency"] = transparent
    return image


@pytest.mark.parametrize(("image", "options", "pixels"), [
    (Image.fromarray(255 - PIXELS[0]), ["--invert"], PIXELS[0]),
    (Image.fromarray(PIXELS[0]).convert("RGB"), [], PIXELS[0]),
    (Image.fromarray(PIXELS[0]).convert("RGBA"), [], PIXELS[0]),
    (Image.fromarray(PIXELS[0].astype(np.uint16) * 257), [], PIXELS[0]),  # Pillow would clip it
    (rgba(PIXELS[0], 0), ["--invert"], PIXELS[0]),  # drawn in black on nothing
    (rgba(PIXELS[0], 255), [], PIXELS[0]),
    (palette(0), [], PIXELS[0] // 128 * 255),
    (Image.fromarray(PIXELS[0] > 127), [], (PIXELS[0] > 127) * np.uint8(255)),  # of one bit
    (Image.fromarray(PIXELS[0]).resize((280, 280), Image.Resampling.NEAREST), [], None),
    # A tall image keeps its proportions, and what is beside it is background.
    (Image.fromarray(PIXELS[1][:, 9:19]).resize((100, 280), Image.Resampling.BICUBIC), [],
     np.pad(PIXELS[1][:, 9:19], ((0, 0), (9, 9)))),
    (Image.fromarray(255 - PIXELS[1][:, 9:19]).resize((100, 280), Image.Resampling.BICUBIC),
     ["--invert"], np.pad(PIXELS[1][:, 9:19], ((0, 0), (9, 9)))),
], ids=["inverted", "colour", "opaque", "16 bits", "black on nothing", "white on nothing", "palette",
        "1 bit", "larger", "tall", "tall, inverted"])
def test_kinds_of_images(
    capsys: pytest.CaptureFixture[str], image: Image.Image, options: list[str],
    pixels: NDArray[Any] | None,
) -> None:
    image.save("x.png")
    p = expected((PIXELS[0] if pixels is None else pixels) / 255)[0]
    found = said(capsys, "x.png", *options)["x.png"]
    exact = 1e-4 if image.size == (28, 28) else 0.05  # resizing smooths
    assert list(found.values()) == [pytest.approx(v, abs=exact) for v in np.sort(p)[:-4:-1]]
    assert next(iter(found)) == str(p.argmax())


@pytest.mark.parametrize("suffix", ["jpg", "gif", "bmp", "pgm", "webp"])
def test_formats(capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    Image.fromarray(PIXELS[0]).save(f"x.{suffix}", quality=95)
    found = said(capsys, f"x.{suffix}", "--top", 1)[f"x.{suffix}"]
    p = expected(X[:1])[0]
    assert found == {str(p.argmax()): pytest.approx(p.max(), abs=0.02)}


def test_a_photo_that_was_turned(capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90° clockwise to look at it
    Image.fromarray(np.rot90(PIXELS[0])).save("x.png", exif=exif)
    check(said(capsys, "x.png")["x.png"], expected(X[:1])[0])


def test_inverted_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", 255 - PIXELS[0])
    check(said(capsys, "x.npy", "--invert")["x.npy"], expected(X[:1])[0])


def test_names_of_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", PIXELS[0])
    (digit,) = said(capsys, "x.npy", "--top", 1)["x.npy"]
    (garment,) = said(capsys, "x.npy", "--top", 1, "--dataset", "fashion-mnist")["x.npy"]
    assert (digit, garment) == ("0", "T-shirt/top")
    save_weights("weights.safetensors", nearest_mean(), {"dataset": "fashion-mnist"})
    assert list(said(capsys, "x.npy", "--top", 1)["x.npy"]) == ["T-shirt/top"]
    save_weights("weights.safetensors", nearest_mean(), {"dataset": "my own"})
    assert list(said(capsys, "x.npy", "--top", 1)["x.npy"]) == ["0"]


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutional_network(capsys: pytest.CaptureFixture[str], channels: int) -> None:
    network = SimpleConvNet((channels, 12, 10), {"filter_num": 2, "filter_size": 3, "pad": 0,
                                                 "stride": 1}, 4, 3, weight_init_std=1.0, seed=0)
    save_weights("weights.safetensors", network)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, channels), dtype=np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save("x.png")
    scores = network.predict(pixels.transpose(2, 0, 1)[None] / 255)[0]
    p = np.exp(scores - scores.max())
    found = said(capsys, "x.png")["x.png"]
    assert list(found.values()) == [pytest.approx(v, abs=1e-4) for v in np.sort(p / p.sum())[::-1]]
    np.save("x.npy", pixels.transpose(2, 0, 1))
    assert said(capsys, "x.npy")["x.npy"] == found
    np.save("x.npy", np.ones((12, 10) if channels == 3 else (3, 12, 10, 1)))
    with pytest.raises(ValueError, match="wanted; got"):
        predict.main(["weights.safetensors", "x.npy"])


def test_features_that_are_no_image(capsys: pytest.CaptureFixture[str]) -> None:
    save_weights("weights.safetensors", MultiLayerNet(5, [], 2, seed=0))
    np.save("x.npy", np.ones((3, 5)))
    assert len(said(capsys, "x.npy")) == 3
    Image.fromarray(PIXELS[0]).save("x.png")
    with pytest.raises(ValueError, match=r"x.png: the network takes no images, but inputs of shape \(5,\)"):
        predict.main(["weights.safetensors", "x.png"])


def test_own_network_of_which_nothing_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    W = rng.standard_normal((2, 1, 28, 28))
    network = Network([Convolution(W, np.zeros(2)), Flatten(), Affine(np.eye(2), np.zeros(2))])
    save_weights("weights.safetensors", network)
    monkeypatch.setattr(script("_network"), "own_network", lambda _: network)
    Image.fromarray(PIXELS[0]).save("x.png")
    np.save("x.npy", PIXELS[:1, None])
    p = 1 / (1 + np.exp(((W[1, 0] - W[0, 0]) * PIXELS[0] / 255).sum()))
    for name, key in (("x.png", "x.png"), ("x.npy", "x.npy[0]")):
        found = said(capsys, name, "--network", "its:own")[key]
        assert found["0"] == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize("library", params("torch", "strict"))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_libraries(capsys: pytest.CaptureFixture[str], library: str, dtype: str) -> None:
    np.save("x.npy", (PIXELS[:2] / 255).astype(">f8"))
    found = said(capsys, "x.npy", "--backend", library, "--dtype", dtype)
    for line, p in zip(found.values(), expected(X[:2]), strict=True):
        check(line, p)


@pytest.mark.parametrize("library", params("jax"))
def test_float64_weights_on_jax(shell: Shell, library: str) -> None:  # its switch holds for a process
    save_weights(shell.folder / "w.safetensors", nearest_mean("float64"))
    np.save(shell.folder / "x.npy", PIXELS[0])
    done = shell.python(SCRIPTS / "predict.py", "w.safetensors", "x.npy", "--backend", library,
                        "--top", 1)
    assert (done.returncode, done.stderr) == (0, "")
    p = expected(X[:1])[0]
    assert done.stdout == f"x.npy: {p.argmax()} {p.max():.4f}\n"


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"\x78\x9c")


def npy(a: NDArray[Any], **options: Any) -> bytes:
    np.save("made.npy", a, **options)
    raw = Path("made.npy").read_bytes()
    Path("made.npy").unlink()
    return raw


def truncated_png() -> bytes:
    Image.fromarray(PIXELS[0]).save("made.png")
    return Path("made.png").read_bytes()[:-100]


@pytest.mark.filterwarnings("default")  # so that they are no errors of themselves
@pytest.mark.parametrize(("name", "raw", "named"), [
    ("x.png", lambda: b"no image", "cannot identify"),
    ("x.png", lambda: b"", "cannot identify"),
    ("x.png", truncated_png, "truncated"),
    ("x.png", lambda: png_of_size(20000, 20000), "decompression bomb"),
    ("x.png", lambda: png_of_size(10000, 10000), "decompression bomb"),
    ("x.eps", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot identify"),
    ("x.npy", lambda: b"no array", "magic string"),
    ("x.npy", lambda: b"", "magic string"),
    ("x.npy", lambda: npy(PIXELS)[:-1], "Failed to read all data|could only read|cannot reshape"),
    ("x.npy", lambda: npy(np.array([{}]), allow_pickle=True), "Object arrays cannot be loaded"),
    ("x.npy", lambda: npy(PIXELS[0].astype(int)), "pixels of uint8, or floating .*; got int64"),
    ("x.npy", lambda: npy(PIXELS[0] > 9), "got bool"),
    ("x.npy", lambda: npy(PIXELS[0] * 1j), "got complex128"),
    ("x.npy", lambda: npy(np.array(["a"])), "got <U1"),
    ("x.npy", lambda: npy(np.full((28, 28), np.nan)), "NaN or infinity"),
    ("x.npy", lambda: npy(np.full((28, 28), -np.inf)), "NaN or infinity"),
    ("x.npy", lambda: npy(PIXELS[:, :27]),
     r"\(1, 28, 28\) or \(784,\) or \(28, 28\), or a batch \(N, …\) of them, wanted; got \(250, 27, 28\)"),
    ("x.npy", lambda: npy(PIXELS[:, None, None]), "wanted; got"),
    ("x.npy", lambda: npy(np.ones((2, 783))), r"got \(2, 783\)"),
    ("x.npy", lambda: npy(np.array(1.0)), r"got \(\)"),
    ("x.npy", lambda: npy(PIXELS[:0]), r"images wanted; got none, shape \(0, 28, 28\)"),
])
def test_broken_inputs(
    capsys: pytest.CaptureFixture[str], name: str, raw: Any, named: str
) -> None:
    Path(name).write_bytes(raw())
    np.save("good.npy", PIXELS[0])
    with pytest.raises(ValueError, match=named) as refusal:
        predict.main(["weights.safetensors", "good.npy", name])
    assert str(refusal.value).startswith(f"{name}: ")
    assert capsys.readouterr().out == ""


def test_scores_that_are_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    network = nearest_mean()
    network.params["b1"][3] = np.nan
    save_weights("weights.safetensors", network)
    np.save("x.npy", PIXELS[0])
    with pytest.raises(ValueError, match=r"x.npy: the network's scores are not finite"):
        predict.main(["weights.safetensors", "x.npy"])


def test_classes_of_another_number() -> None:
    save_weights("weights.safetensors", MultiLayerNet(784, [], 9))
    np.save("x.npy", PIXELS[0])
    with pytest.raises(ValueError, match="mnist-5k has 10 classes, the network 9"):
        predict.main(["weights.safetensors", "x.npy", "--dataset", "mnist-5k"])


def test_a_pickle_in_an_array_is_not_run(shell: Shell, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return eval, ("open('ran', 'w')",)

    evil = np.empty(1, object)
    evil[0] = Evil()
    np.save(shell.folder / "x.npy", evil, allow_pickle=True)
    (shell.folder / "w.safetensors").write_bytes((tmp_path / "weights.safetensors").read_bytes())
    refused(shell, "predict.py w.safetensors x.npy", "x.npy: Object arrays cannot be loaded")


@pytest.mark.parametrize("command", ["w.safetensors none.png", "w.safetensors none.npy",
                                     "none.safetensors x.npy"])
def test_no_such_file(shell: Shell, tmp_path: Path, command: str) -> None:
    (shell.folder / "w.safetensors").write_bytes((tmp_path / "weights.safetensors").read_bytes())
    np.save(shell.folder / "x.npy", PIXELS[0])
    refused(shell, f"predict.py {command}", "predict.py: none.", ": No such file or directory")
