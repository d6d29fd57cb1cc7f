"""Answer over HTTP which digit an image is, with onnxruntime and NumPy alone.

`python serve.py digits.onnx --port 8000`, and from elsewhere, with images of numbers from 0 to 1:

    numpy.save("images.npy", images)                        # (N, 1, 28, 28), float32
    curl --data-binary @images.npy http://127.0.0.1:8000    # [{"digit": 7, "probability": 0.998}, …]

What is no such file gets an answer of 400 and a reason.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime

MOST = 2**26
"""Bytes of a request."""

parser = argparse.ArgumentParser(description="Serve a network in an ONNX file.")
parser.add_argument("model")
parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
options = parser.parse_args()

session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["xpnet"])
_, *shape = about["inputs"]["x"]["shape"]
if "predictions" not in about["outputs"] or "labels" not in about:
    parser.error(f"{options.model} has no predictions or no labels: see train_and_export.py")


def images_in(body: bytes) -> np.ndarray:
    """Give the images in the bytes of a .npy file; a ValueError says what is wrong with them."""
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        found, _, dtype = read(file)
    except Exception:  # noqa: BLE001  whatever the bytes of anybody bring about
        raise ValueError("a .npy file of images wanted") from None
    if [*found[1:]] != shape or dtype.kind not in "fiu":
        raise ValueError(f"images of shape (N, {', '.join(map(str, shape))}) wanted; got {found} of {dtype}")
    if len(body) - file.tell() != math.prod(found) * dtype.itemsize:
        raise ValueError("as many numbers as the file promises wanted")
    images = np.load(io.BytesIO(body), allow_pickle=False).astype(np.float32)
    if not ((images >= 0) & (images <= 1)).all():
        raise ValueError("numbers from 0 to 1 wanted")
    return images


def answer(body: bytes) -> list[dict[str, object]]:
    """Give label and probability of each image."""
    probabilities = session.run(["predictions"], {"x": images_in(body)})[0]
    return [{"digit": about["labels"][int(row.argmax())], "probability": round(float(row.max()), 4)}
            for row in probabilities]


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_POST(self) -> None:
        """Read images, and write what they are."""
        length = self.headers.get("Content-Length", "")
        try:
            if not length.isdecimal() or int(length) > MOST:
                raise ValueError(f"a Content-Length of at most {MOST} wanted")
            status, found = 200, json.dumps(answer(self.rfile.read(int(length))))
        except ValueError as error:
            status, found = 400, json.dumps({"error": str(error)})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(found.encode())


try:
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
except (OSError, OverflowError) as error:
    parser.error(f"--port {options.port}: {error}")
print(f"http://127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    server.server_close()
