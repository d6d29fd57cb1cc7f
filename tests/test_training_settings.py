from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_training import assert_equal, network, on_numpy, train
from variants import make

from xpnet import SGD, Affine, Checkpoints, EarlyStopping, History, Network, Sequential
from xpnet.training import Epoch
from xpnet.training.settings import checked_seed

DATA = on_numpy()
STOP = EarlyStopping(2)

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a class of optimizers": ({"optimizer": SGD}, "fit wants an optimizer, as SGD.0.1.; got <class"),
    "a learning rate": ({"optimizer": 0.1}, "fit wants an optimizer, as SGD.0.1.; got 0.1"),
    "no epochs": ({"epochs": 0}, "epochs to be a whole number above 0; got 0"),
    "half an epoch": ({"epochs": 0.5}, "epochs to be a whole number above 0; got 0.5"),
    "true epochs": ({"epochs": True}, "epochs to be a whole number above 0; got True"),
    "no batch": ({"batch_size": 0}, "batch_size to be a whole number above 0; got 0"),
    "half a row": ({"batch_size": 2.5}, "batch_size .* got 2.5"),
    "more than there is": ({"batch_size": 61}, "batch_size 61 for 60 rows"),
    "more than the split leaves": ({"batch_size": 60, "validation": 0.5}, "60 for 30 rows"),
    "a share of 0": ({"validation": 0.0}, "share of rows to validate on between 0 and 1; got 0.0"),
    "a share of 1": ({"validation": 1.0}, "between 0 and 1; got 1.0"),
    "a share of NaN": ({"validation": float("nan")}, "between 0 and 1; got nan"),
    "a split of 0 rows": ({"validation": 0.001}, "leaves 0 of 60 rows for validation"),
    "a number of rows": ({"validation": 10}, "validation to be data, .x, t., .* got 10"),
    "true validation": ({"validation": True}, "validation to be data, .x, t., .* got True"),
    "validation of 3": ({"validation": (*DATA, None)}, "validation to be data, .x, t.,"),
    "validation of 1": ({"validation": DATA[0]}, "validation to be data, .x, t.,"),
    "metrics of nothing": ({"metrics": ["accuracy"]}, "validation data for metrics; got .*None"),
    "stopping for nothing": ({"early_stopping": STOP}, "validation data for early_stopping"),
    "patience": ({"validation": DATA, "early_stopping": 3}, "to be an EarlyStopping; got 3"),
    "metrics in a word": ({"validation": DATA, "metrics": "accuracy"},
                          r'a list of names, as \["accuracy"\]; got \'accuracy\''),
    "one metric": ({"validation": DATA, "metrics": len}, "a list of names, as"),
    "no metric": ({"validation": DATA, "metrics": ["acuracy"]},
                  "no metric 'acuracy'; there are accuracy, binary_accuracy, confusion_matrix"),
    "no function": ({"validation": DATA, "metrics": {"mine": "accuracy"}}, "got 'mine': 'accuracy'"),
    "another loss": ({"validation": DATA, "metrics": {"loss": len}}, "names other than epoch, member, loss"),
    "top 5 of 3": ({"validation": DATA, "metrics": ["top_k_accuracy"]}, "k of 1 … 3, the classes"),
    "what is not measured": (
        {"validation": DATA, "metrics": ["accuracy"], "early_stopping": EarlyStopping(1, "r2_score")},
        "early_stopping can monitor loss, accuracy; got 'r2_score'"),
    "what is no number": (
        {"validation": DATA, "metrics": ["confusion_matrix"],
         "early_stopping": EarlyStopping(1, "confusion_matrix")},
        "early_stopping wants to monitor a number; confusion_matrix is an array"),
    "one callback": ({"callbacks": print}, "callbacks to be a list of functions .* got <built-in"),
    "no callback": ({"callbacks": [None]}, r"callbacks to be a list of functions .* got \[None\]"),
    "no checkpoints": ({"checkpoints": True}, "checkpoints to be Checkpoints, or a path; got True"),
    "nowhere to resume from": ({"resume": True}, "checkpoints to resume from; got checkpoints=None"),
    "no checkpoint there": ({"resume": True, "checkpoints": "here"}, "here: no checkpoint to resume from"),
    "a history in lists": ({"history": []}, r"history to be a History; got \[\]"),
    "a stack's history": ({"history": History([Epoch(1, [1.0, 1.0], {}, 1.0, 1.0)])},
                          "fit wants a history of 1 networks to go on with; got one of 2"),
    "two histories": ({"history": History([Epoch(1, 1.0, {}, 1.0, 1.0)]), "resume": True,
                       "checkpoints": "here"}, "the history from the checkpoint .* got one of 1 ep"),
    "two seeds": ({"seed": [0, 1]}, r"one seed for a single network; got \[0, 1\]"),
    "no seed": ({"seed": None}, r"seeds that are whole numbers from 0 to 2\*\*32 - 1; got None"),
    "two rates": ({"optimizer": SGD([0.1, 0.5])}, "SGD has 2 learning rates, for a stack"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_makes_no_sense(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options, words = BAD[name]
    net = network(make("numpy"))
    with pytest.raises((ValueError, TypeError), match=words):
        train(net, *DATA, **options)
    assert_equal(net, network(make("numpy")))


def test_what_is_no_network() -> None:
    for net in (Sequential([Affine(np.zeros((2, 3)), np.zeros(3))]), network(make("numpy")).params):
        with pytest.raises(TypeError, match="fit wants network to be a Network: layers and a loss"):
            train(net, *DATA)  # type: ignore[arg-type]


def test_numbers_of_numpy(tmp_path: Path) -> None:
    patience: Any = np.int64(3)
    history = train(network(make("numpy")), *DATA, epochs=np.int64(2), batch_size=np.int32(10),
                    validation=np.float32(0.5), early_stopping=EarlyStopping(patience),
                    checkpoints=tmp_path)
    assert len(history.epochs) == 2


def test_seeds() -> None:
    single, stack = network(make("numpy")), network(make("numpy"), seed=[0, 1])
    for seed in (7, np.int64(7), np.uint8(7), np.array(7)):
        found = checked_seed(single, seed)
        assert type(found) is int
        assert found == 7
    assert checked_seed(stack, 2**32 - 1) == 2**32 - 1
    for seeds in ([3, 4], (3, 4), np.array([3, 4]), range(3, 5), (s for s in (3, 4))):
        found = checked_seed(stack, seeds)
        assert found == [3, 4]
        assert {type(s) for s in found} == {int}
    wrong: Any = (-1, 2**32, 1.0, True, "12", None, [0, -1], [0, True], [0.5, 1], np.nan)
    for seed in wrong:
        with pytest.raises(ValueError, match=r"whole numbers from 0 to 2\*\*32 - 1; got"):
            checked_seed(stack, seed)
    for seeds in ([], [0], [0, 1, 2]):
        with pytest.raises(ValueError, match="a seed, or 2, one for each network of the stack; got"):
            checked_seed(stack, seeds)


def test_a_stack_that_shares_parameters() -> None:
    net = Network([Affine(np.zeros((2, 3)), np.zeros((4, 3)))])
    with pytest.raises(ValueError, match=r"its own parameters; got W1 stacked \(\), b1 stacked \(4,"):
        train(net, *DATA)


def test_a_history_of_as_many_networks() -> None:
    net = network(make("numpy"), seed=[0, 1])
    history = train(net, *DATA, epochs=1)
    assert len(train(net, *DATA, epochs=1, history=history).epochs) == 2
    with pytest.raises(ValueError, match="a history of 3 networks to go on with; got one of 2"):
        train(network(make("numpy"), seed=[0, 1, 2]), *DATA, history=history)


def test_settings_of_checkpoints(tmp_path: Path) -> None:
    for where in (str(tmp_path / "a"), tmp_path / "b", Checkpoints(tmp_path / "c")):
        train(network(make("numpy")), *DATA, epochs=1, checkpoints=where)
    assert sorted(p.parent.name for p in tmp_path.rglob("*.safetensors")) == ["a", "b", "c"]
