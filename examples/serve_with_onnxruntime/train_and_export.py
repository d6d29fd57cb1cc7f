"""Train a network that reads digits, and write it to a file that needs no xpnet.

`python examples/serve_with_onnxruntime/train_and_export.py digits.onnx`; then see serve.py.
"""

from __future__ import annotations

import sys

from xpnet.onnx import export

from xpnet import Adam, MultiLayerNet, fit, load_mnist

path = sys.argv[1] if len(sys.argv) > 1 else "digits.onnx"
(x, t), (x_test, t_test) = load_mnist()
network = MultiLayerNet(784, [100], 10, use_batchnorm=True, use_dropout=True, dropout_ration=0.2, seed=0,
                        dtype="float32")
fit(network, x, t, optimizer=Adam(0.002), epochs=10, batch_size=100, progress=False)
print(f"{float(network.accuracy(x_test, t_test)):.3f} of the test digits are right")
export(network, path, (784,), labels=range(10), predictions=True)
print(f"{path}: written")
