#!/usr/bin/env python3
"""Render docs/gpu.md from what cuda.py left.

By default from the newest file in docs/gpu: of a run on a GPU, or if there is none, of a dry run, of which the
page then says that it is none.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(folder for folder in sys.path if Path(folder).resolve() != HERE)]

from benchmarks.cuda_sections.plan import SECTIONS
from benchmarks.report import table

__all__ = ["newest", "page", "section_text"]

DOCS = HERE.parent / "docs"
MET, MISSED, NOT_MEASURED = "met", "**MISSED**", "not measured"

RUN = """
```
pip install -e ".[test,cuda13]"     # or cuda12, as the driver has it
pip install "cupy-cuda13x[ctk]"     # CUDA's own libraries, where its toolkit is not installed
pytest -m cuda
python scripts/gradient_check.py --device cuda
python scripts/train.py --device cuda
```

`pytest -m cuda` runs every test of the compute path on CuPy arrays, with values held against formulas
and PyTorch's autograd on the CPU, the training loop, and the loss curves against NumPy's.

```
python benchmarks/cuda.py --out docs/gpu
python benchmarks/cuda_report.py
```

The first line runs these tests and measures all that is below, beside PyTorch and JAX where these are installed,
in under eight minutes on one GPU, from a checkout that need not be installed. The second renders this page.
`--only SECTION …` measures some of it, and `--dry-run` goes the same ways without a GPU, in a minute or two.

On a machine without a network, packages come as wheels, from one with the same Python and system:

```
pip download --no-deps -d wheels array-api-compat array-api-extra array-api-strict \\
    nvmath-python cuda-core cuda-bindings cuda-pathfinder
pip install --no-index --find-links wheels --no-deps array-api-compat array-api-extra array-api-strict \\
    nvmath-python cuda-core cuda-bindings cuda-pathfinder
```

NumPy, CuPy, pytest and safetensors are taken to be there; for CUDA 12, cuda-bindings below 13 is wanted. From a
checkout that is not installed, the scripts run with `PYTHONPATH=.:backends`. xpnet itself needs array-api-compat; the
tests array-api-extra; a dry run array-api-strict, nvmath-python and g++. The others are
nvmath-python with what it needs, by which a step of training is captured as a CUDA graph: without it, CuPy's own
products compute, which refuse that, and every step is launched kernel by kernel. Whatever is there already, as
cuda-pathfinder is with CuPy, may stay as it is.
"""

WITHOUT = """
- every function, layer and network on array-api-strict's second device (with boolean indexing and
  data-dependent shapes off), on PyTorch's `meta` device and under `jax.jit`;
- CuPy 14.2.0 (`cupy-cuda13x`) installs and imports on a machine without a GPU, and
  `--device cuda` then ends with one line and status 2; so it does without CuPy;
- the functions of CuPy's namespace that xpnet calls exist (`array_api_compat.cupy`, CuPy 14.2.0),
  and `ndarray.mT`;
- NCCL 2.32.3 (`nvidia-nccl-cu13`) loads with CuPy 14.2.0 there, and has the functions and constants that xpnet calls.
"""

SEVERAL = """
`get_backend("cuda:1")` makes that GPU the current one, because some creation functions of CuPy ignore `device=`.
With one GPU, training on another, arrays of two, and a GPU without access to another's memory cannot be met:
{several}.

Several processes train one network, each on a GPU of its own ([distributed.md](distributed.md)):

```
pip install -e ".[train,mpi,cuda13]" nvidia-nccl-cu13
mpiexec -n 8 python scripts/train.py --distributed --device cuda
```

They find each other by MPI and add up by NCCL, on a stream of its own beside that of the layers, within the graph of
a step. **Unverified** on GPUs: nothing has run by NCCL itself. On the stand-in, sums are done as late as something
waits for them, so that what reads or writes too soon shows; 2 and 3 ranks there learn what one learns, to 1e-12 of
the largest weight in float64, and end when one of them fails. `pytest -m cuda` runs as many ranks as there are GPUs
for, and one on one GPU.
"""

CARE = """
`check_gradients(network, x, t, mode="full")` evaluates stacks of 128 MiB there instead of 8: the same code.
"""
CARE_UNMEASURED = """
`check_gradients(network, x, t, mode="full")` evaluates stacks of 128 MiB there instead of 8: the same
code, and a size that is a guess until it is measured.
"""


def newest(folder: Path) -> Path | None:
    """Find the newest file of a run of all sections on a GPU; if there is none, of a dry run."""
    def files(kind: str) -> list[tuple[str, int, Path]]:
        matches = ((re.fullmatch(rf"cuda-{kind}(\d{{4}}-\d\d-\d\d)(?:-(\d+))?\.json", p.name), p)
                   for p in folder.glob("cuda-*.json"))
        return sorted((m[1], int(m[2] or 1), p) for m, p in matches if m)

    def whole(path: Path) -> bool:
        sections = json.loads(path.read_text())["sections"]
        return sections.keys() == SECTIONS.keys() and all(
            section["status"] != "interrupted" for section in sections.values())

    found = [path for kind in ("dry-run-", "") for *_, path in files(kind) if whole(path)]
    return found[-1] if found else None


def bars_of(name: str, section: dict[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    """Give of each bar what is wanted, whether it is met, and what was found or why nothing was."""
    found = {} if section is None else section["found"].get("bars", {})
    for key, bar in SECTIONS[name].bars.items():
        if key in found:
            met, said = found[key]["met"], found[key]["said"]
            yield bar.what, NOT_MEASURED if met is None else MET if met else MISSED, said
        elif section is None:
            yield bar.what, NOT_MEASURED, "it was not asked for"
        else:
            yield bar.what, NOT_MEASURED, section.get("why", "no word of it")


def section_text(name: str, section: dict[str, Any]) -> str:
    """Give what a section found: tables, notes, and the bars."""
    parts = [f"### {SECTIONS[name].title}"]
    if section["status"] != "ran":
        parts.append(_wrapped(f"**Not to the end ({section['status']}):** {section['why']}."))
    found = section["found"]
    parts += [table(each["head"], each["rows"]) for each in found.get("tables", [])]
    parts += map(_wrapped, found.get("notes", []))
    parts.append("\n".join(_wrapped(f"- {what}: {state}" + (f"; {said}" if said != section.get("why") else ""))
                           for what, state, said in bars_of(name, section)))
    return "\n\n".join(parts)


def page(result: dict[str, Any]) -> str:
    """Render the page."""
    dry, device, sections = result["dry_run"], result["device"], result["sections"]
    parts = ["# On a GPU", "<!-- Made by benchmarks/cuda_report.py; not to be changed by hand. -->"]
    changed = " with changes" * result["commit"].endswith("+")
    commit = f", commit {result['commit'][:12]}{changed}" if result["commit"] else ""
    command = f"`{result['command']}`"
    states = [state for name in SECTIONS for _, state, _ in bars_of(name, sections.get(name))]
    counted = ", ".join(f"{states.count(state)} {state.strip('*').lower()}"
                        for state in (MET, MISSED, NOT_MEASURED) if state in states)
    if dry:
        ran = [name for name, section in sections.items() if section["status"] == "ran"]
        parts.append(_wrapped(
            f"**Not verified.** No line of xpnet has run on a CUDA GPU so far. What is below comes from a dry "
            f"run on {result['date']}{commit} ({command}): the same program, with a stand-in for CuPy that "
            "computes on the CPU, and tiny. It says that the code runs and computes the same; of a GPU, and "
            "of time, it says nothing, so that no bar counts as met."))
        parts.append(_wrapped(f"It went through {len(ran)} of {len(SECTIONS)} sections{_tests(sections)}."))
    else:
        about = "; ".join(f"{name} {device[name]}" for name in ("driver", "runtime", "compute capability"))
        parts.append(_wrapped(
            f"Measured on {result['date']}{commit}, on {device['name']} ({device['memory'] / 2**30:.0f} GiB; "
            f"{about}), by {command}, in {result['seconds']:.0f} s. Of what xpnet is held to: {counted}."))
    parts += [_wrapped(_versions(result)), "## Install and run", RUN.strip(), "## What it is held to",
              table(["", "wanted", ""], [
                  [name if k == 0 else "", what, state] for name in SECTIONS
                  for k, (what, state, _) in enumerate(bars_of(name, sections.get(name)))])]
    parts.append("## What was measured" if not dry else "## What the dry run did")
    if dry:
        parts.append("The headings say what a GPU is given; here all is tiny, and steps are few.")
    parts += [section_text(name, sections[name]) for name in SECTIONS if name in sections]
    parts += ["## What was checked without a GPU, too" if not dry else "## What else was checked without a GPU",
              WITHOUT.strip(), "## Several GPUs", SEVERAL.format(several=_several(result)).strip(),
              "## What needs care", (CARE_UNMEASURED if dry else CARE).strip()]
    return "\n\n".join(parts) + "\n"


def _wrapped(text: str) -> str:
    """Break a paragraph, or a point of a list, into lines."""
    return textwrap.fill(text, 110, subsequent_indent="  " * text.startswith("- "), break_long_words=False,
                         break_on_hyphens=False)


def _tests(sections: dict[str, Any]) -> str:
    counts = sections.get("suite", {}).get("found", {}).get("figures", {}).get("counts", {})
    return f", and {counts['PASSED']} tests passed" if counts.get("PASSED") else ""


def _versions(result: dict[str, Any]) -> str:
    there = [f"{name} {version}" for name, version in result["versions"].items() if version != "not installed"]
    missing = [name for name, version in result["versions"].items() if version == "not installed"]
    cupy = result["device"].get("CuPy")
    there[1:1] = [f"CuPy {cupy}"] if cupy else []
    return f"With {', '.join(there)}" + (f"; without {', '.join(missing)}." if missing else ".")


def _several(result: dict[str, Any]) -> str:
    if result["dry_run"]:
        return "**unverified** on GPUs; the stand-in has two, and refuses what is on another"
    count = result["device"]["count"]
    return "**unverified**, as there was one GPU" if count == 1 else f"tried on a machine with {count}, as said above"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="what cuda.py left (default: the newest in docs/gpu)")
    parser.add_argument("--page", type=Path, default=DOCS / "gpu.md", help=argparse.SUPPRESS)
    options = parser.parse_args()
    file = options.file or newest(DOCS / "gpu")
    if file is None:
        parser.error("docs/gpu has no file of cuda.py")
    try:
        result = json.loads(file.read_text())
        text = page(result)
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{file}: not what cuda.py writes: {error}")
    options.page.write_text(text)


if __name__ == "__main__":
    main()
