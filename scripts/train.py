#!/usr/bin/env python3
"""Train the two-layer network on images, and leave weights, history and pictures in a folder."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from _command import (
    Parser,
    add_backend_options,
    check_installed,
    find_backend,
    folder,
    positive,
    run,
    whole_number,
)

from xpnet import (
    SGD,
    Backend,
    History,
    Network,
    NonFiniteLossError,
    TwoLayerNet,
    fit,
    load_mnist,
    save_weights,
)
from xpnet.datasets import class_names
from xpnet.functional import softmax
from xpnet.training import draw_curves, draw_predictions

RESULTS = ("weights.safetensors", "history.csv", "curves.png", "predictions.png")


def main() -> int:
    """Train, and say how well it went."""
    parser = Parser(description=__doc__)
    add_backend_options(parser, dtype="float32")
    parser.add_argument("--dataset", default="mnist-5k",
                        help="mnist-5k (ships with xpnet), mnist or fashion-mnist")
    parser.add_argument("--data-dir", metavar="DIR", help="take the data set's files from here")
    parser.add_argument("--hidden", type=whole_number(1), default=100, metavar="N",
                        help="neurons of the hidden layer (default: %(default)s)")
    parser.add_argument("--epochs", type=whole_number(1), default=20, metavar="N",
                        help="times to go through the data (default: %(default)s)")
    parser.add_argument("--batch-size", type=whole_number(1), default=100, metavar="N",
                        help="images of a step (default: %(default)s)")
    parser.add_argument("--lr", type=positive, default=0.5,
                        help="learning rate (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", type=folder,
                        help="the run's folder (default: a new one in runs/)")
    parser.add_argument("--no-plot", action="store_true", help="draw no pictures")
    parser.add_argument("--quiet", action="store_true", help="print the last line only")
    options = parser.parse_args()

    backend = find_backend(options)
    train, test = load_mnist(flatten=False, dataset=options.dataset, data_dir=options.data_dir,
                             backend=backend)
    pixels = math.prod(train[0].shape[1:])
    network = TwoLayerNet(pixels, options.hidden, len(class_names(options.dataset)),
                          weight_init_std="he", seed=options.seed, backend=backend,
                          dtype=options.dtype)
    check_installed("safetensors", *["tqdm"] * (not options.quiet),
                    *["matplotlib"] * (not options.no_plot))
    out, created = prepare(options.out, options.dataset)
    history = History()
    start = time.perf_counter()
    status = 0
    try:
        fit(network, *train, optimizer=SGD(options.lr), epochs=options.epochs,
            batch_size=options.batch_size, seed=options.seed, validation=test,
            progress=not options.quiet, history=history)
    except KeyboardInterrupt:
        status = 130
    except BaseException as error:
        if isinstance(error, NonFiniteLossError) and history.epochs:
            save(out, network, history, {"dataset": options.dataset})
            raise NonFiniteLossError(f"{error}; what was learnt before is in {out}") from None
        for path in created:
            with suppress(OSError):
                path.rmdir()
        raise
    seconds = time.perf_counter() - start
    accuracy = float(network.accuracy(*test))
    save(out, network, history, {"dataset": options.dataset, "accuracy": accuracy})
    stopped = f"interrupted after {len(history.epochs)} epochs, " if status else ""
    print(f"{stopped}test accuracy {accuracy:.4f}, {seconds:.1f} s, {out}", flush=True)
    if not options.no_plot:
        draw(out, network, history, backend, options.dataset, test)
    return status


def prepare(out: Path | None, dataset: str) -> tuple[Path, list[Path]]:
    """Make the run's folder, or refuse it before any work is done; give the folders it made."""
    if out is None:
        out = first = Path("runs", time.strftime(f"{dataset}-%Y%m%d-%H%M%S"))
        parent = [] if out.parent.exists() else [out.parent]
        out.parent.mkdir(exist_ok=True)
        for number in itertools.count(2):
            with suppress(FileExistsError):
                out.mkdir()
                return out, [out, *parent]
            out = first.with_name(f"{first.name}-{number}")  # another began in the same second
    for name in RESULTS:
        if (out / name).exists():
            raise ValueError(f"{out} already holds a run ({name}): name another --out")
    created = [path for path in (out, *out.parents) if not path.exists()]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass
    return out, created


def save(out: Path, network: Network, history: History, description: dict[str, object]) -> None:
    """Write the weights and the history."""
    save_weights(out / "weights.safetensors", network, description)
    history.write_csv(out / "history.csv")


def draw(out: Path, network: Network, history: History, backend: Backend, dataset: str,
         test: tuple[object, object]) -> None:
    """Draw the curves, and what the network says of some test images."""
    draw_curves(out / "curves.png", history)
    x, t = (backend.to_numpy(a)[:24, ...] for a in test)
    y = backend.to_numpy(softmax(network.predict(backend.asarray(x))))
    draw_predictions(out / "predictions.png", x[:, 0], t, y, class_names(dataset))


if __name__ == "__main__":
    run(main)
