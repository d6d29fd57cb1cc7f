"""Answer over HTTP which digit an image is, with onnxruntime and NumPy alone.

`python serve.py digits.onnx --port 8000`, and from elsewhere, with images of numbers from 0 to 1:

    numpy.save("images.npy", images)                        # (N, 1, 28, 28), float32
    curl --data-binary @images.npy http://127.0.0.1:8000    # [{"digit": 7, "probability": 0.998}, …]

Images that are none get an answer of 400 and a reason.
"""

from __future__ import annotations

import argparse
import io
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import onnxruntime

parser = argparse.ArgumentParser(description="Serve a network in an ONNX file.")
parser.add_argument("model")
parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
options = parser.parse_args()

session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["xpnet"])


def answer(body: bytes) -> list[dict[str, object]]:
    """Give label and probability of each image in the bytes of a .npy file."""
    images = np.load(io.BytesIO(body), allow_pickle=False)
    if images.ndim != 4 or images.shape[1:] != (1, 28, 28):
        raise ValueError(f"images of shape (N, 1, 28, 28) wanted; got {images.shape}")
    probabilities = session.run(["predictions"], {"x": images.astype(np.float32)})[0]
    return [{"digit": about["labels"][int(row.argmax())], "probability": round(float(row.max()), 4)}
            for row in probabilities]


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_POST(self) -> None:
        """Read images, and write what they are."""
        try:
            status, found = 200, json.dumps(answer(self.rfile.read(int(self.headers["Content-Length"]))))
        except (TypeError, ValueError, EOFError) as error:
            status, found = 400, json.dumps({"error": str(error)})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(found.encode())


server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    server.server_close()
