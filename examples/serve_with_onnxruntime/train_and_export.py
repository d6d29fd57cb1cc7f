"""Train a network that reads digits, and write it to a file that needs no xpnet.

`python examples/serve_with_onnxruntime/train_and_export.py digits.onnx`; then see serve.py.
"""

from __future__ import annotations

import sys

from xpnet import Adam, SimpleConvNet, fit, load_mnist
from xpnet.onnx import export

path = sys.argv[1] if len(sys.argv) > 1 else "digits.onnx"
(x, t), (x_test, t_test) = load_mnist(flatten=False)
network = SimpleConvNet(weight_init_std="he", seed=0, dtype="float32")
fit(network, x, t, optimizer=Adam(0.002), epochs=5, batch_size=100, progress=False)
print(f"{float(network.accuracy(x_test, t_test)):.3f} of the test digits are right")
export(network, path, (1, 28, 28), labels=range(10), predictions=True)
print(f"{path}: written")
