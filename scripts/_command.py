"""What the scripts share: options, their types, and errors in one line."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import operator
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from xpnet import Backend
    from xpnet.distributed import Ranks

# Until run() begins, Ctrl-C ends the program at once, without a traceback of its imports.
heeds_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if heeds_interrupts:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


_joined: Ranks | None = None
"""The ranks that this process has joined, of which one speaks for all."""


STARTED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
"""How many processes MPICH's and Open MPI's `mpiexec` have started, in the environment."""


def join() -> Ranks:
    """Join the other ranks, if `--distributed` asks for it."""
    global _joined
    from xpnet.distributed import Ranks

    asked = any("--distributed".startswith(option) for option in sys.argv if len(option) > len("--d"))
    started = next((int(os.environ[name]) for name in STARTED if name in os.environ), 1)
    if started > 1 and not asked:
        warnings.warn(f"mpiexec has started {started} of these, and each trains by itself: --distributed trains together",
                      stacklevel=2)
    _joined = Ranks.world() if asked else Ranks()
    return _joined


def complain(program: str, text: str) -> None:
    """Say what is wrong; of several ranks, one says it."""
    said = text if _joined is None else _joined.settle(text)
    if said is not None:
        print(f"{program}: {said}", file=sys.stderr, flush=True)
    if _joined is not None:
        _joined.abort(2)
        _joined.close()


class Parser(argparse.ArgumentParser):
    """A parser that complains in one line, and of several ranks on one."""

    def print_help(self, file: Any = None) -> None:
        """Print the help."""
        if _joined is None or _joined.rank == 0:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave with status 2."""
        complain(self.prog, f"{message} (--help lists the options)")
        self.exit(2)


def whole_number(least: int) -> Callable[[str], int]:
    """Make the type of an option that is a whole number from `least`."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"a whole number from {least} is wanted; got {text}")
        return int(text)

    return convert


def whole_numbers(least: int) -> Callable[[str], list[int]]:
    """Make the type of an option that is a list of whole numbers from `least`, as 512,256."""

    def convert(text: str) -> list[int]:
        return [whole_number(least)(part.strip()) for part in text.split(",")]

    return convert


def share(text: str) -> float:
    """Convert an option that is a number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to below 1 is wanted; got {text}")
    return value


def positive(text: str) -> float:
    """Convert an option that is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 is wanted; got {text}")
    return value


def folder(text: str) -> Path:
    """Convert an option that names a folder."""
    if not text:
        raise argparse.ArgumentTypeError("a folder is wanted; got an empty name")
    return Path(text)


def add_backend_options(parser: argparse.ArgumentParser, dtype: str | None = None) -> None:
    """Add the options that say where to compute, and in what (by default, as in a file)."""
    parser.add_argument("--backend", metavar="LIBRARY",
                        help="numpy, cupy, torch, jax or strict (default: what the device has)")
    parser.add_argument("--device", metavar="DEVICE",
                        help="cpu (NumPy), cuda or cuda:1 (CuPy); with --backend, its own devices")
    parser.add_argument("--dtype", choices=("float32", "float64"), default=dtype,
                        help=f"of the parameters (default: {dtype or 'as in the file'})")


def add_tf32_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that trades digits for speed on a GPU."""
    parser.add_argument("--tf32", action=argparse.BooleanOptionalAction, default=False,
                        help="multiply float32 matrices rounded to three digits: faster on CUDA GPUs")


def add_seed_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of what all random numbers follow from."""
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N",
                        help="of all that is random (default: %(default)s)")


def find_backend(options: argparse.Namespace, ranks: Ranks | None = None) -> Backend:
    """Find the backend that the options ask for, ready for their dtype; of several ranks, on a GPU each."""
    from xpnet import get_backend

    device = options.device
    if ranks is not None and ranks.size > 1 and device and device.startswith("cuda"):
        if device != "cuda":
            raise ValueError(f"--distributed gives each rank a GPU, the first the first: --device cuda; got {device}")
        device = f"cuda:{ranks.local}"
    parts = [part for part in (options.backend, device) if part]
    backend = get_backend(":".join(parts) or "cpu")
    if options.dtype == "float64":
        backend.enable_float64()
    if getattr(options, "tf32", False):
        backend.enable_tf32()
    return backend


def named(option: str, text: str) -> Any:
    """Import what an option names, as mypackage.mymodule:name; found from where the user is, too."""
    module, _, attribute = text.partition(":")
    if not attribute:
        raise ValueError(f"{option} wants a module and a name, as mypackage.mymodule:name; got {text}")
    sys.path.insert(0, str(Path.cwd()))
    try:
        return operator.attrgetter(attribute)(importlib.import_module(module))
    except (AttributeError, SyntaxError, TypeError) as error:
        raise ValueError(f"{option} {text}: {error}") from None


def check_installed(*modules: str) -> None:
    """Miss what is not installed before the work, not after it (ImportError)."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise ImportError(
                f'this needs {module}, which is not installed: pip install "xpnet[train]"'
            )


class Terminated(KeyboardInterrupt):
    """The program was asked to end (SIGTERM): what Ctrl-C saves is saved."""


def terminate(number: int, frame: object) -> NoReturn:
    """Turn the signal into an exception."""
    raise Terminated


def run(main: Callable[[], int]) -> NoReturn:
    """Run a script: errors of its user in one line with status 2, Ctrl-C with status 130."""
    if heeds_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminate)
    warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of what an error will say
    program = sys.argv[0].replace("\\", "/").rpartition("/")[2]
    warnings.formatwarning = lambda message, *_: f"{program}: {message}\n"
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # who read the output has gone; as if the signal had ended it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + 13
        if _joined is not None and _joined.size > 1:
            complain(program, "nobody reads what is said any more")
    except KeyboardInterrupt as error:
        complain(program, "interrupted")
        status = status_of(error)
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
        complain(program, describe(error))
        status = 2
    except Exception as error:
        if _joined is None or _joined.size == 1:
            raise
        traceback.print_exc()
        complain(program, describe(error))  # else the others would wait
        status = 1
    finally:
        if _joined is not None:
            _joined.close()
    raise SystemExit(status)


def status_of(error: KeyboardInterrupt) -> int:
    """Give the exit status of a program that a signal ended."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def describe(error: BaseException) -> str:
    """Say in one line what went wrong."""
    from xpnet import distributed

    return distributed.describe(error)
