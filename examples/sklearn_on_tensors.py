"""scikit-learn on PyTorch tensors: a pipeline, cross-validation and a search, where the tensors are.

    pip install -e ".[sklearn,torch]"
    SCIPY_ARRAY_API=1 python examples/sklearn_on_tensors.py

On a GPU, if there is one: nothing else changes.
"""

from __future__ import annotations

import sklearn
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpnet.sklearn import MLPClassifier

sklearn.set_config(array_api_dispatch=True)
device = "cuda" if torch.cuda.is_available() else "cpu"

X, y = (torch.asarray(a, device=device) for a in load_digits(return_X_y=True))
X_train, X_test, y_train, y_test = train_test_split(X.to(torch.float32), y, random_state=0)

pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=60, early_stopping=True, random_state=0))
search = GridSearchCV(pipeline, {"mlpclassifier__dropout": [0.0, 0.3]}, cv=3)
search.fit(X_train, y_train)

predicted = search.predict(X_test)
mlp = search.best_estimator_[-1]
print(f"weights {mlp.coefs_[0].dtype} on {mlp.coefs_[0].device}, predictions on {predicted.device}")
print(f"{search.best_params_}: {accuracy_score(y_test, predicted):.3f} of the test digits are right")
