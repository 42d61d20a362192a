"""Writes tests/golden/verification.json: distances of pairs in ten folds, and what facenet's lfw.py and scikit-learn make of
them. src/eval/grid/tests.rs takes the same.

    pip install numpy scikit-learn
    python tests/golden/make_verification.py

The formulas are those of davidsandberg/facenet, src/lfw.py and src/facenet.py at 096ed77 (MIT), written anew. There
`scipy.interpolate.interp1d(kind="slinear")` finds the threshold of a rate; today's scipy refuses its repeated values, and
`np.interp` gives what it gave.
"""

import json
import os

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import KFold

FOLDS, EACH = 10, 40
random = np.random.default_rng(7)
same = np.tile(np.r_[np.ones(EACH, bool), np.zeros(EACH, bool)], FOLDS)
distances = np.where(same, random.gamma(6, 0.13, same.size), random.gamma(20, 0.085, same.size))
# Equal distances, as equal images give them.
distances = np.round(distances, 3).astype(np.float32)


def accuracy(threshold, distances, same):
    return np.mean((distances < threshold) == same)


def rates(threshold, distances, same):
    accepted = distances < threshold
    return np.sum(accepted & same) / np.sum(same), np.sum(accepted & ~same) / np.sum(~same)


def folds():
    return KFold(n_splits=FOLDS, shuffle=False).split(distances)


def by_accuracy(d):
    grid, found = np.arange(0, 4, 0.01), []
    for train, test in folds():
        best = grid[np.argmax([accuracy(t, d[train], same[train]) for t in grid])]
        found.append((accuracy(best, d[test], same[test]), best))
    rate, thresholds = np.array(found).T
    return {"accuracy": rate.mean(), "std": rate.std(), "thresholds": thresholds.tolist()}


def by_rate(d, wanted):
    grid, found = np.arange(0, 4, 0.001), []
    for train, test in folds():
        far = np.array([rates(t, d[train], same[train])[1] for t in grid])
        threshold = np.interp(wanted, far, grid) if far.max() >= wanted else 0.0
        found.append((*rates(threshold, d[test], same[test]), threshold))
    val, far, thresholds = np.array(found).T
    return {"wanted": wanted, "val": val.mean(), "std": val.std(), "far": far.mean(), "thresholds": thresholds.tolist()}


# Comparisons are those of f64.
exact = distances.astype(np.float64)
far, val, _ = roc_curve(same, -exact, drop_intermediate=False)
gap = (1 - val) - far
after = np.argmax(gap <= 0)
part = gap[after - 1] / (gap[after - 1] - gap[after])
result = {
    "distances": [float(str(d)) for d in distances],
    "same": same.astype(int).tolist(),
    "folds": FOLDS,
    "accuracy": by_accuracy(exact),
    "val": [by_rate(exact, wanted) for wanted in (0.1, 0.01, 0.001, 0.2)],
    "auc": roc_auc_score(same, -exact),
    "eer": far[after - 1] + part * (far[after] - far[after - 1]),
    "val_at_far": [{"wanted": w, "val": val[far <= w].max()} for w in (0.1, 0.01)],
}
path = os.path.join(os.path.dirname(__file__), "verification.json")
with open(path, "w") as out:
    json.dump(result, out)
    out.write("\n")
