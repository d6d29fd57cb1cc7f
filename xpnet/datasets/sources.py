"""The data sets that can be loaded by name: their files, hashes, origins and classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SOURCES", "Part", "Source"]


@dataclass(frozen=True)
class Part:
    """One file of a data set, as published under the name of its role.

    Attributes
    ----------
    name : str
        File name without `.gz`.
    ndim : int
        Dimensions: 3 for images, 1 for labels.
    content_sha256 : str
        Of the decompressed content, so that any compression of it is recognised.
    download_sha256 : str or None
        Of the compressed file at the data set's address.
    """

    name: str
    ndim: int
    content_sha256: str
    download_sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set of images and labels, split for training and testing.

    Attributes
    ----------
    parts : tuple of Part
        Training images and labels, test images and labels.
    classes : tuple of str
        What each class number means.
    folders : tuple of Path
        Where it may be installed.
    url : str or None
        Where it can be downloaded.
    """

    parts: tuple[Part, Part, Part, Part]
    classes: tuple[str, ...] = tuple("0123456789")
    folders: tuple[Path, ...] = ()
    url: str | None = None


def _parts(*hashes: tuple[str, str | None]) -> tuple[Part, Part, Part, Part]:
    train_images, train_labels, test_images, test_labels = hashes
    return (
        Part("train-images-idx3-ubyte", 3, *train_images),
        Part("train-labels-idx1-ubyte", 1, *train_labels),
        Part("t10k-images-idx3-ubyte", 3, *test_images),
        Part("t10k-labels-idx1-ubyte", 1, *test_labels),
    )


SOURCES = {
    "mnist-5k": Source(
        _parts(
            ("1e9078310c567ba67f27a599ba4b3d500ec700a6e7c642714aeba14d0af99cb1", None),
            ("daf1c61ba276c5ec7656a0a9c541c2f61cb96d7af3a019906cdb4cf08ef09728", None),
            ("661b9be9d66bbdec4fdea0720f1e9836bc6594070cb44db09fbd6b9b8f3b60e2", None),
            ("9f9f83403fa89036e5960042fa3fdded854d1e4a5602fe4b476f8ff0e7865ff8", None),
        ),
        folders=(Path(__file__).parent / "mnist_5k",),
    ),
    "mnist": Source(
        _parts(
            ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
             "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
             "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
             "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
             "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    "fashion-mnist": Source(
        _parts(
            ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
             "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
             "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
             "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
             "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                 "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        folders=(Path("/usr/share/datasets/fashion-mnist"),),  # Debian: dataset-fashion-mnist
        url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
}
