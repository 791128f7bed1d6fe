"""Multinomial logistic regression with an L2 penalty: scikit-learn's optimum in a fraction of its time.

Newton's method: each step minimises a parabola by conjugate gradients. These need few turns behind the inverse of one
D x D matrix that stands for all classes, the weighted Gram matrix of the features (the idea of Boehning 1992,
"Multinomial logistic regression algorithm"): without it correlated features cost them dozens. Products within a step
are in float32, since a step need not be exact; the loss and the gradient, which say where the optimum is, in float64.
"""

import warnings

import numpy as np
from scipy.linalg import blas, lapack

TOLERANCE = 1e-5  # a tenth of what scikit-learn is content with
STEPS, TURNS = 200, 200  # never needed so far: ends for a loop that rounding keeps from arriving
SEPARATED = 1e3  # times a loss: below a thousandth a gradient is small far from the optimum, too
STALE = 16  # turns of one step from which on the Gram matrix of an earlier step is weighted anew
ROWS = 4096  # of the features, weighted at a time


class Logistic:
    """Classifiers of one training set, x float64 (N, D) with columns of about length sqrt(N), y (N,) of any labels."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.classes, self.y = np.unique(y, return_inverse=True)
        self.x = np.concatenate([x, np.ones((len(x), 1))], axis=1)  # (N, D + 1), the intercept last
        self.narrow = self.x.astype(np.float32)
        self.weights = np.zeros((self.x.shape[1], len(self.classes)))  # (D + 1, K)
        self.ones = np.ones((len(self.classes), 1))  # a product with them is a sum over classes, and the faster one

    def fit(self, C: float, tolerance: float = TOLERANCE) -> None:
        """The weights of least sum of losses + |weights|^2 / (2 C), intercepts free, from those that there are on.

        tolerance: of the largest entry of the gradient of the mean loss; where the classes are separated and hardly any
        loss is left, down to a hundredth of it.
        """
        # Of two classes scikit-learn fits the difference w alone: as here w / 2 and -w / 2, at twice the penalty.
        strength = (2 if len(self.classes) == 2 else 1) / len(self.x) / C
        penalty = np.full((self.x.shape[1], 1), min(strength, 1e30))  # from there on weights are nothing but rounding
        penalty[-1] = 0
        factor, turns = None, 0
        loss, p = self._loss(self.weights, penalty)
        for _ in range(STEPS):
            slope = p.copy()
            slope[np.arange(len(p)), self.y] -= 1
            slope = self.x.T @ slope / len(p) + penalty * self.weights  # the gradient, (D + 1, K)
            if np.abs(slope).max() <= tolerance * min(1, max(SEPARATED * loss, 0.01)):
                return
            if factor is None or turns > STALE:
                factor = self._factor(p, penalty)
            step, turns = self._step(slope, p, penalty, factor)

            # Half of it, and half again, where the parabola was too far from the loss (Armijo 1966).
            promised, size = float((slope * step).sum()), 1.0
            while True:
                there = self.weights + size * step
                new, q = self._loss(there, penalty)
                if new <= loss + 1e-4 * size * promised:
                    break
                size /= 2
                if size < 1e-6:
                    return  # as low as rounding allows
            self.weights, loss, p = there, new, q
        warnings.warn(f"A probe with C = {C:g} did not reach its optimum in {STEPS} steps.", stacklevel=2)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The likeliest labels (M,) of x (M, D)."""
        return self.classes[(x @ self.weights[:-1] + self.weights[-1]).argmax(axis=1)]

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """The share of x (M, D) whose likeliest label is that of y (M,)."""
        return float((self.predict(x) == y).mean())

    def _loss(self, weights: np.ndarray, penalty: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss with its penalty, and the probabilities (N, K)."""
        logits = self.x @ weights
        logits -= np.ascontiguousarray(logits.T).max(axis=0)[:, None]  # along rows of ten it takes three times as long
        right = logits[np.arange(len(logits)), self.y].mean()
        p = np.exp(logits, out=logits)
        total = p @ self.ones
        p /= total
        return float(np.log(total).mean() - right + (penalty * weights**2).sum() / 2), p

    def _factor(self, p: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        """The Cholesky factor of what the curvature is for a class on average, float32 (D + 1, D + 1)."""
        weight = np.sqrt((p - p * p).mean(axis=1, keepdims=True) / len(p)).astype(np.float32)  # (N, 1)
        gram = np.zeros(2 * self.x.shape[1:], np.float32, order="F")
        for first in range(0, len(p), ROWS):
            rows = slice(first, first + ROWS)
            gram = blas.ssyrk(1, (self.narrow[rows] * weight[rows]).T, beta=1, c=gram, lower=1, overwrite_c=1)
        diagonal = gram.diagonal()
        floor = np.maximum(penalty[:, 0], 1e-5 * diagonal.mean() + 1e-30)
        gram[np.diag_indices(len(gram))] = diagonal + floor
        factor, _ = lapack.spotrf(gram, lower=1, overwrite_a=1)
        return factor

    def _step(
        self, slope: np.ndarray, p: np.ndarray, penalty: np.ndarray, factor: np.ndarray
    ) -> tuple[np.ndarray, int]:
        """To where the parabola is least, nearer the nearer the optimum is; and the turns that it took."""
        n, unit = len(p), np.abs(slope).max()  # so that float32 holds it
        p, penalty, ones = p.astype(np.float32), penalty.astype(np.float32), self.ones.astype(np.float32)
        wanted = min(0.1, np.sqrt((slope**2).sum()))  # of the square of what is left, over that of the beginning
        left = (-slope / unit).astype(np.float32)
        towards, _ = lapack.spotrs(factor, left, lower=1)
        rest = begun = float((left * towards).sum())
        step, turns = np.zeros_like(left), 0
        while turns < TURNS and rest > wanted * begun:
            moved = self.narrow @ towards  # (N, K)
            moved *= p
            moved -= p * (moved @ ones)
            bent = self.narrow.T @ moved
            bent /= n
            bent += penalty * towards
            curvature = float((towards * bent).sum())
            if not curvature > 0:
                break
            step += (rest / curvature) * towards
            left -= (rest / curvature) * bent
            solved, _ = lapack.spotrs(factor, left, lower=1)
            before, rest, turns = rest, float((left * solved).sum()), turns + 1
            towards = solved + (rest / before) * towards
        return unit * step.astype(float), turns
