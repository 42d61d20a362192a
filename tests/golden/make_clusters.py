#!/usr/bin/env python3
"""Prints the constants of src/eval/clusters.rs: what scikit-learn says of clusterings.

    python -m venv venv && venv/bin/pip install scikit-learn
    venv/bin/python tests/golden/make_clusters.py

Needed only to make them anew. Labels come from formulas that both sides compute. Precision, recall and F of pairs are
scikit-learn's for a binary classification of all pairs; B-cubed, which it lacks, is computed image by image as in its
definition (Bagga and Baldwin, 1998; Amigo et al., 2009).
"""

from itertools import combinations

from sklearn.metrics import normalized_mutual_info_score, precision_recall_fscore_support

N = 300
CASES = {
    "unlike": (lambda i: i * i % 11, lambda i: (i * 7 + i // 5) % 13),
    "alike": (lambda i: i // 7, lambda i: i // 7 if i % 10 else 1000 + i % 4),
    "one cluster": (lambda i: i // 50, lambda i: 0),
    "alone": (lambda i: i // 3, lambda i: i),
}


def b_cubed(truth, found):
    precision = recall = 0.0
    for t, f in zip(truth, found):
        both = sum(a == t and b == f for a, b in zip(truth, found))
        precision += both / found.count(f)
        recall += both / truth.count(t)
    precision, recall = precision / len(truth), recall / len(truth)
    return precision, recall, 2 * precision * recall / (precision + recall)


for name, (truth, found) in CASES.items():
    truth, found = [truth(i) for i in range(N)], [found(i) for i in range(N)]
    same = [[x[i] == x[j] for i, j in combinations(range(N), 2)] for x in (truth, found)]
    pairs = precision_recall_fscore_support(*same, average="binary", zero_division=1.0)[:3]
    nmi = normalized_mutual_info_score(truth, found)
    print(f'("{name}", {[float(x) for x in pairs]}, {list(b_cubed(truth, found))}, {nmi}),')
