"""A plugin of pytest: `python -m pytest -m cuda -p benchmarks.cuda_on_cpu.plugin`.

The tests run on the stand-in for CuPy, and the scripts that they start too, through
`site/sitecustomize.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.cuda_on_cpu import install

install()
_HERE = Path(__file__).parent
os.environ["XPNET_CUDA_ON_CPU"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(_HERE / "site"), str(_HERE.parents[1]), os.environ.get("PYTHONPATH"))))
