"""The linear probe against scikit-learn at the same optimum: standardised features, four Cs, the best fitted to all.

    python benchmarks/probe.py

scikit-learn runs L-BFGS, its default, to a tolerance at which its test accuracy is that of the optimum within one
sample; both accuracies stand in the remark.
"""

import numpy as np
import torch
from rows import compare, one_thread, peer, show

from sslcourse.evaluate import linear_probe

CS = (0.01, 0.1, 1.0, 10.0)


def features(n: int, d: int, k: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes with correlated features, as networks have them."""
    generator = torch.Generator().manual_seed(seed)
    world = torch.Generator().manual_seed(77)
    centres, mix = torch.randn(k, d, generator=world), torch.randn(d, d, generator=world) / d**0.5
    spectrum = torch.arange(1, d + 1).float() ** -0.5
    y = torch.arange(n) % k
    return (0.35 * centres[y] + torch.randn(n, d, generator=generator)) * spectrum @ mix, y


def scikit_learn(train_x, train_y, test_x, test_y) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def model(c):
        return make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-5, max_iter=10_000))

    part = train_test_split(train_x, train_y, test_size=0.2, stratify=train_y, random_state=0)
    scores = [model(c).fit(part[0], part[2]).score(part[1], part[3]) for c in CS]
    return model(CS[int(np.argmax(scores))]).fit(train_x, train_y).score(test_x, test_y)


def rows():
    one_thread()
    for n, d, k in ((2000, 128, 10), (2000, 256, 10)):
        train, test = features(n, d, k, 0), features(1000, d, k, 1)
        given = [part.double().numpy() if part.is_floating_point() else part.numpy() for part in (*train, *test)]
        ours, theirs = linear_probe(*train, *test, Cs=CS).accuracy, scikit_learn(*given)
        note = f"accuracy {ours:.3f}, theirs {theirs:.3f}"
        peers = {"scikit-learn": peer("sklearn") and (lambda given=given: scikit_learn(*given))}
        mine = lambda train=train, test=test: linear_probe(*train, *test, Cs=CS)  # noqa: E731
        yield from compare(f"{n} x {d}, {k} classes", mine, peers, {"scikit-learn": 3}, note, rounds=2)


if __name__ == "__main__":
    show(rows())
