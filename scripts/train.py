#!/usr/bin/env python3
"""Train a network on images, and leave weights, checkpoints, history and pictures in a folder."""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from _command import (
    Parser,
    add_backend_options,
    add_seed_option,
    add_tf32_option,
    check_installed,
    find_backend,
    folder,
    join,
    positive,
    run,
    share,
    status_of,
    whole_number,
    whole_numbers,
)

import xpnet
from xpnet import Backend, Checkpoints, EarlyStopping, History, Network, NonFiniteLossError
from xpnet.datasets import class_names
from xpnet.distributed import Ranks, check_alike
from xpnet.functional import softmax
from xpnet.training import draw_curves, draw_predictions
from xpnet.training.atomic import atomic_path

RESULTS = ("weights.safetensors", "history.csv", "curves.png", "predictions.png", "checkpoints",
           "options.json")
OPTIMIZERS = {"sgd": "SGD", "momentum": "Momentum", "nesterov": "Nesterov", "adagrad": "AdaGrad",
              "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW"}
RATES = {"sgd": 0.5, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.05}
"""The learning rates to begin with; of the others 0.001."""
AT_ANY_TIME = ("backend", "device", "tf32", "data_dir", "lr", "epochs", "patience")
"""What a run that is resumed may go on with otherwise."""
OF_ONE_CALL = ("out", "resume", "quiet", "no_plot", "distributed")
"""What is no part of a run."""


def options(ranks: Ranks) -> argparse.Namespace:
    """Read the command line; what a run that is resumed was begun with counts where it is silent."""
    parser = Parser(description=__doc__)
    add_backend_options(parser, dtype="float32")
    add_tf32_option(parser)
    add_seed_option(parser)
    parser.add_argument("--dataset", default="mnist-5k",
                        help="mnist-5k (ships with xpnet), mnist or fashion-mnist")
    parser.add_argument("--data-dir", metavar="DIR", help="take the data set's files from here")
    parser.add_argument("--network", choices=("mlp", "simple-conv", "deep-conv"), default="mlp",
                        help="Affine layers, or the book's convolutional ones (default: mlp)")
    parser.add_argument("--hidden", type=whole_numbers(1), default=[100], metavar="N[,N…]",
                        help="neurons of the hidden layers; of a convolutional one's, one (default: 100)")
    parser.add_argument("--batch-norm", action="store_true", help="normalise batches (mlp)")
    parser.add_argument("--dropout", type=share, default=0.0, metavar="RATIO",
                        help="share of neurons to drop (mlp)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd", help="default: sgd")
    parser.add_argument("--lr", type=positive,
                        help="learning rate (default: "
                             + ", ".join(f"{rate:g} for {name}" for name, rate in RATES.items())
                             + ", else 0.001)")
    parser.add_argument("--epochs", type=whole_number(1), default=20, metavar="N",
                        help="times to go through the data (default: %(default)s)")
    parser.add_argument("--batch-size", type=whole_number(1), default=100, metavar="N",
                        help="images of a step (default: %(default)s)")
    parser.add_argument("--patience", type=whole_number(1), metavar="N",
                        help="stop after so many epochs in which the test accuracy did not rise")
    parser.add_argument("--out", metavar="DIR", type=folder,
                        help="the run's folder (default: a new one in runs/)")
    parser.add_argument("--resume", metavar="DIR", type=folder,
                        help="go on with the run in this folder, from its last checkpoint")
    parser.add_argument("--distributed", action="store_true",
                        help="train together with all that mpiexec started, each rank on its part of a batch")
    parser.add_argument("--sync-batchnorm", action=argparse.BooleanOptionalAction, default=True,
                        help="normalise by the whole batch, not by each rank's part (default: yes)")
    parser.add_argument("--no-plot", action="store_true", help="draw no pictures")
    parser.add_argument("--quiet", action="store_true", help="print the last line only")
    chosen = parser.parse_args()
    check_alike(ranks, {f"--{name.replace('_', '-')}": str(value) for name, value in vars(chosen).items()})
    if chosen.resume is not None:
        if chosen.out is not None:
            parser.error("--resume goes on in its own folder: leave out --out")
        kept = ranks.first(options_of, chosen.resume)
        parser.set_defaults(**kept)
        chosen = parser.parse_args()
        for name, value in kept.items():
            now = getattr(chosen, name)
            if now != value and (name not in AT_ANY_TIME or (name == "patience" and None in (now, value))):
                parser.error(f"--resume goes on with --{name.replace('_', '-')} {value}; got {now}")
    if chosen.lr is None:
        chosen.lr = RATES.get(chosen.optimizer, 0.001)
    if chosen.network != "mlp" and (chosen.batch_norm or chosen.dropout or len(chosen.hidden) > 1):
        parser.error("--batch-norm, --dropout and several --hidden go with --network mlp")
    return chosen


def options_of(out: Path) -> dict[str, Any]:
    """Read what a run was begun with."""
    path = out / "options.json"
    try:
        kept = json.loads(path.read_text())
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise ValueError(f"{path}: not what train.py has written")  # noqa: TRY004  the file is wrong
    return kept


def make_network(chosen: argparse.Namespace, shape: tuple[int, ...], backend: Backend) -> Network:
    """Make the network for images of a shape."""
    classes = len(class_names(chosen.dataset))
    where: dict[str, Any] = {"seed": chosen.seed, "backend": backend, "dtype": chosen.dtype}
    if chosen.network == "simple-conv":
        return xpnet.SimpleConvNet(shape, hidden_size=chosen.hidden[0], output_size=classes,
                                   weight_init_std="he", **where)
    if chosen.network == "deep-conv":
        return xpnet.DeepConvNet(shape, hidden_size=chosen.hidden[0], output_size=classes, **where)
    channels, height, width = shape
    return xpnet.MultiLayerNet(channels * height * width, chosen.hidden, classes,
                               use_batchnorm=chosen.batch_norm, use_dropout=chosen.dropout > 0,
                               dropout_ration=chosen.dropout, **where)


def main() -> int:
    """Train, and say how well it went."""
    ranks = join()
    chosen = options(ranks)
    backend = find_backend(chosen, ranks)
    train, test = load(chosen, backend, ranks)
    network = make_network(chosen, tuple(train[0].shape[1:]), backend)
    check_installed("safetensors", *["tqdm"] * (not chosen.quiet),
                    *["matplotlib"] * (not chosen.no_plot))
    out, *created = [chosen.resume] if chosen.resume else map(Path, ranks.first(
        prepare, chosen.out, chosen.dataset))
    history = History()
    start = time.perf_counter()
    status = 0
    about = {"dataset": chosen.dataset}
    checkpoints = Checkpoints(out / "checkpoints")
    try:
        resumes = ranks.first(lambda: chosen.resume is not None and checkpoints.newest() is not None)
        ranks.first(write_options, out, chosen)
        optimizer = getattr(xpnet, OPTIMIZERS[chosen.optimizer])(chosen.lr)
        xpnet.fit(network, *train, optimizer=optimizer, epochs=chosen.epochs,
                  batch_size=chosen.batch_size, seed=chosen.seed, validation=test,
                  early_stopping=EarlyStopping(chosen.patience, "accuracy") if chosen.patience else None,
                  checkpoints=checkpoints, resume=resumes,
                  progress=not chosen.quiet, history=history, comm=ranks,
                  sync_batchnorm=chosen.sync_batchnorm)
    except KeyboardInterrupt as interrupt:
        if resumes and not history.epochs:  # what was learnt may not have been read yet
            raise
        status = status_of(interrupt)
    except BaseException as error:
        if isinstance(error, NonFiniteLossError) and history.epochs:
            if ranks.rank == 0:
                save(out, network, history, about)
            raise NonFiniteLossError(f"{error}; what was learnt before is in {out}") from None
        if ranks.rank == 0 and not chosen.resume and checkpoints.newest() is None:
            with suppress(OSError):
                forget(out, created)
        raise

    def conclude() -> None:
        accuracy = xpnet.evaluate(network, *test)["accuracy"]
        save(out, network, history, {**about, "accuracy": accuracy})
        stopped = "interrupted, " if status else ""
        print(f"{stopped}test accuracy {accuracy:.4f} after {len(history.epochs)} epochs, {seconds:.1f} s, "
              f"{out}", flush=True)
        if not chosen.no_plot:
            draw(out, network, history, backend, chosen.dataset, test)

    seconds = time.perf_counter() - start
    ranks.first(conclude)
    ranks.close()
    return status


def load(chosen: argparse.Namespace, backend: Backend, ranks: Ranks) -> Any:
    """Load the data set: rank 0 first, which downloads what is missing."""
    if ranks.rank > 0:
        ranks.broadcast(None)
    data = xpnet.load_mnist(flatten=False, dataset=chosen.dataset, data_dir=chosen.data_dir, backend=backend)
    if ranks.rank == 0:
        ranks.broadcast(None)
    return data


def prepare(out: Path | None, dataset: str) -> list[str]:
    """Make the run's folder, or refuse it before any work is done; give it, and the folders it made."""
    if out is None:
        out = first = Path("runs", time.strftime(f"{dataset}-%Y%m%d-%H%M%S"))
        parent = [] if out.parent.exists() else [out.parent]
        out.parent.mkdir(exist_ok=True)
        for number in itertools.count(2):
            with suppress(FileExistsError):
                out.mkdir()
                return [*map(str, (out, out, *parent))]
            out = first.with_name(f"{first.name}-{number}")  # another began in the same second
    for name in RESULTS:
        if (out / name).exists():
            raise ValueError(f"{out} already holds a run ({name}): name another --out, or --resume {out}")
    created = [path for path in (out, *out.parents) if not path.exists()]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out):
        pass
    return [*map(str, (out, *created))]


def write_options(out: Path, chosen: argparse.Namespace) -> None:
    """Write what --resume is to go on with."""
    kept = {name: value for name, value in vars(chosen).items()
            if name not in OF_ONE_CALL}
    with atomic_path(out / "options.json") as path:
        path.write_text(json.dumps(kept, indent=1) + "\n")


def forget(out: Path, created: list[Path]) -> None:
    """Remove what a run that came to nothing had begun with."""
    (out / "options.json").unlink(missing_ok=True)
    for path in (out / "checkpoints", *created):
        if path.exists():
            path.rmdir()


def save(out: Path, network: Network, history: History, description: dict[str, object]) -> None:
    """Write the weights and the history."""
    xpnet.save_weights(out / "weights.safetensors", network, description)
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
