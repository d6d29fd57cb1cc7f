"""The design's rules of who imports whom, held by reading the code and by a fresh process."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARIES = {"numpy", "cupy", "torch", "jax", "jaxlib", "array_api_strict", "dask", "scipy",
             "ndonnx", "sparse", "cupyx", "cupy_backends"}
DYNAMIC = {"importlib", "__import__", "import_module"}

# What each part of xpnet may import of xpnet; nothing above it, and no scripts ever.
ALLOWED = {
    "_numbers": set(),
    "_recordable": set(),
    "functional": {"functional"},
    "layers": {"_numbers", "_recordable", "functional", "layers"},
    "losses": {"_numbers", "_recordable", "functional", "losses"},
    "metrics": {"functional", "metrics"},
    "gradient": {"functional"},
    "stacked_gradient": {"functional", "gradient"},
    "testing": {"functional", "gradient", "stacked_gradient", "testing"},
    "optimizers": {"_numbers", "_recordable", "functional", "optimizers"},
    "initializers": {"_numbers", "backend", "functional"},
    "networks": {"_numbers", "backend", "functional", "initializers", "layers", "losses", "metrics",
                 "networks", "stacked_gradient"},
    "_sums": {"_backend", "functional"},
    "_backend": {"_sums", "functional"},
    "backend": {"_backend", "functional"},
    "prediction": {"backend", "functional", "networks"},
    "_extras": set(),
    "datasets": {"_extras", "backend", "datasets", "functional"},
    "distributed": {"_extras", "_sums", "distributed", "functional", "layers", "networks"},
    "training": {"__version__", "_extras", "_numbers", "backend", "distributed", "functional", "losses", "metrics", "networks",
                 "training"},
    "sklearn": {"_extras", "backend", "functional", "layers", "losses", "networks", "optimizers", "sklearn",
                "training"},
    "onnx": {"__version__", "_extras", "_numbers", "backend", "functional", "losses", "networks", "onnx",
             "training"},
    "adapters": {"_extras", "adapters", "backend", "functional", "layers", "losses", "networks"},
}
COMPUTE_PATH = ("functional", "layers", "losses", "optimizers", "networks", "gradient",
                "stacked_gradient", "metrics", "testing")
NOT_PUBLIC = "xpnet/sklearn/_from_sklearn.py"
"""All that is taken from scikit-learn and is not public there."""
HOST = {"xpnet/testing/_host.py"}
"""What the checks need of NumPy and of optional libraries; these are imported when they are needed.

So are the adapters, through which a library's own gradients are asked for.
"""


def part(path: Path) -> str:
    return path.relative_to(ROOT / "xpnet").with_suffix("").parts[0]


def imports(source: str) -> Iterator[str]:
    """Give the dotted name of everything that is imported anywhere, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Name) and node.id in DYNAMIC:
            yield node.id
        elif isinstance(node, ast.Attribute) and node.attr in DYNAMIC:
            yield node.attr


def broken_rules(path: Path, source: str) -> list[str]:
    """List the rules that a file of xpnet or of its backends breaks."""
    names = set(imports(source))
    roots = {name.partition(".")[0] for name in names}
    where = path.relative_to(ROOT)
    if where.parts[0] == "backends":
        own = {"numpy": "numpy", "cupy": "cupy", "torch": "torch", "jax": "jax",
               "strict": "array_api_strict"}.get(path.stem.partition("_")[0])
        compat = {n.split(".")[1] for n in names if n.startswith("array_api_compat.")}
        broken = [f"imports {n}" for n in sorted((roots & LIBRARIES) - {own})]
        broken += [f"imports array_api_compat.{n}" for n in sorted(compat - {own})]
        broken += [f"imports {n}" for n in sorted(names) if n.startswith("xpnet_backends")
                   and not n.startswith(("xpnet_backends.nested.", "xpnet_backends.small_steps."))
                   and not n.startswith(f"xpnet_backends.{path.stem.partition('_')[0]}_")]
        may = ("xpnet.backend.",) if path.stem.endswith("_backend") else ("xpnet.functional.",)
        return broken + [f"imports {n}" for n in sorted(names)
                         if n.startswith("xpnet.") and not n.startswith(may)]
    here = part(path)
    if here == "__init__":
        return [f"imports {n}" for n in sorted(roots - {"xpnet"})]
    broken = []
    if str(where) in HOST:
        top = {name.partition(".")[0] for node in ast.parse(source).body
               if isinstance(node, ast.Import | ast.ImportFrom) for name in imports(ast.unparse(node))}
        broken += [f"imports {n} before it is needed" for n in sorted((top & LIBRARIES) - {"numpy"})]
        broken += ["imports xpnet.adapters before it is needed" for node in ast.parse(source).body
                   if isinstance(node, ast.Import | ast.ImportFrom) and "xpnet.adapters" in ast.unparse(node)]
    elif here == "adapters":
        own = path.stem.partition("_")[0]
        broken += [f"imports {n}" for n in sorted((roots & LIBRARIES) - ({own} & {"torch", "jax"}))]
    elif here in COMPUTE_PATH:
        broken += [f"imports {n}" for n in sorted(roots & LIBRARIES)]
        broken += [f"imports {n}" for n in sorted(names) if n.startswith("array_api_compat.")
                   and n.split(".")[1] in LIBRARIES]
    else:
        mine = {"numpy", "scipy"} if here == "sklearn" else {"numpy"}  # SciPy comes with scikit-learn
        broken += [f"imports {n}" for n in sorted((roots & LIBRARIES) - mine)]
    if str(where) != NOT_PUBLIC:
        broken += [f"imports {n}" for n in sorted(names)
                   if n.startswith("sklearn.") and ("._" in n or n == "sklearn")]
    if here not in ("backend", "_extras") and str(where) not in HOST:
        broken += [f"imports dynamically: {n}" for n in sorted((names | roots) & DYNAMIC)]
    broken += [f"imports {n}" for n in sorted(names) if n.split(".")[0] == "xpnet_backends"]
    allowed = ALLOWED[here] | ({"adapters"} if str(where) in HOST else set())
    for name in sorted(names):
        if name.split(".")[0] == "xpnet" and name.split(".")[1] not in allowed:
            broken.append(f"imports {name}")
    return broken


FILES = sorted([*(ROOT / "xpnet").rglob("*.py"), *(ROOT / "backends").rglob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rules(path: Path) -> None:
    assert broken_rules(path, path.read_text()) == []


@pytest.mark.parametrize(("path", "source", "broken"), [
    ("xpnet/functional/relu.py", "import numpy as np", "imports numpy"),
    ("xpnet/functional/relu.py", "def f():\n    from jax import numpy", "imports jax"),
    ("xpnet/layers/relu.py", "def f():\n    import array_api_strict", "imports array_api_strict"),
    ("xpnet/losses/loss.py", "import array_api_compat.torch", "imports array_api_compat.torch"),
    ("xpnet/losses/loss.py", "from array_api_compat import torch",
     "imports array_api_compat.torch"),
    ("xpnet/testing/lines.py", "import numpy", "imports numpy"),
    ("xpnet/testing/_host.py", "import jax", "imports jax before it is needed"),
    ("xpnet/testing/check.py", "from xpnet import layers", "imports xpnet.layers"),
    ("xpnet/testing/oracle.py", "from xpnet.adapters import from_jax", "imports xpnet.adapters.from_jax"),
    ("xpnet/testing/_host.py", "from xpnet.adapters import from_jax",
     "imports xpnet.adapters before it is needed"),
    ("xpnet/adapters/torch_layer.py", "import jax", "imports jax"),
    ("xpnet/adapters/jax_layer.py", "def f():\n    import torch", "imports torch"),
    ("xpnet/adapters/things.py", "import torch", "imports torch"),
    ("xpnet/adapters/__init__.py", "import jax", "imports jax"),
    ("xpnet/layers/relu.py", "from xpnet.adapters import to_jax", "imports xpnet.adapters.to_jax"),
    ("xpnet/metrics/accuracy.py", "import importlib\n", "imports dynamically: importlib"),
    ("xpnet/metrics/accuracy.py", "from importlib import import_module",
     "imports dynamically: importlib"),
    ("xpnet/gradient.py", "def f():\n    return __import__('numpy')",
     "imports dynamically: __import__"),
    ("xpnet/functional/relu.py", "from xpnet import layers", "imports xpnet.layers"),
    ("xpnet/functional/relu.py", "from xpnet.layers import Relu", "imports xpnet.layers.Relu"),
    ("xpnet/optimizers/sgd.py", "from xpnet.layers import Layer", "imports xpnet.layers.Layer"),
    ("xpnet/training/loop.py", "import xpnet_backends.jax_backend",
     "imports xpnet_backends.jax_backend"),
    ("xpnet/training/loop.py", "import torch", "imports torch"),
    ("xpnet/sklearn/_mlp.py", "import torch", "imports torch"),
    ("xpnet/sklearn/_mlp.py", "from sklearn.utils._array_api import move_to",
     "imports sklearn.utils._array_api.move_to"),
    ("xpnet/training/loop.py", "from scipy.optimize import minimize", "imports scipy"),
    ("backends/xpnet_backends/jax_backend.py", "import numpy", "imports numpy"),
    ("backends/xpnet_backends/jax_backend.py", "import array_api_compat.torch",
     "imports array_api_compat.torch"),
    ("backends/xpnet_backends/jax_backend.py", "from xpnet_backends import numpy_backend",
     "imports xpnet_backends.numpy_backend"),
    ("backends/xpnet_backends/jax_kernels.py", "import numpy", "imports numpy"),
    ("backends/xpnet_backends/jax_kernels.py", "from xpnet_backends.numpy_kernels import KERNELS",
     "imports xpnet_backends.numpy_kernels.KERNELS"),
    ("backends/xpnet_backends/jax_kernels.py", "from xpnet.layers import Layer",
     "imports xpnet.layers.Layer"),
    ("backends/xpnet_backends/jax_backend.py", "from xpnet.functional import relu",
     "imports xpnet.functional.relu"),
])
def test_the_test_sees_a_broken_rule(path: str, source: str, broken: str) -> None:
    assert broken in broken_rules(ROOT / path, source)


def test_no_file_shadows_a_library() -> None:
    shadows = {p.stem for p in FILES} & LIBRARIES
    assert not shadows


def test_import_xpnet_imports_numpy_alone() -> None:
    program = """
import sys
import xpnet, xpnet.adapters, xpnet.onnx, xpnet.testing
roots = {name.partition(".")[0] for name in sys.modules}
print(sorted(roots & {"cupy", "torch", "jax", "jaxlib", "array_api_strict", "scipy", "tqdm",
                      "matplotlib", "pooch", "safetensors", "sklearn", "xpnet_backends", "onnx", "ndonnx",
                      "spox", "onnxruntime"}))
print("numpy" in roots)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'backends'}"})
    assert done.stdout == "[]\nTrue\n"
