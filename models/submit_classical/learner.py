from __future__ import annotations
import numpy as np
from scipy.linalg import cho_factor, cho_solve

CHUNK = 2048


class RandomFeatures:
    """Triangle-wave random features; the first `app` columns ignore position."""

    def __init__(self, n, seed=0, d=384, bw=1.0, pos=1.0):
        r = np.random.default_rng(seed)
        g = d // 4
        scale = np.zeros((n + 2, d), np.float32)
        scale[0:6, :g] = 0.8
        scale[0:n, g : 2 * g] = 0.5
        scale[0:6, 2 * g : 3 * g] = 0.8
        scale[-2:, 2 * g : 3 * g] = 0.7 * pos
        scale[0:3, 3 * g :] = 0.8
        scale[6:n, 3 * g :] = 0.3
        scale[-2:, 3 * g :] = 2.0 * pos
        self.app = 2 * g
        self.d = d
        # columns: [waves without position | linear | bias | waves with position]
        self.n = n
        self.nlin = n + 1
        self.dim_app = self.app + self.nlin
        self.dim = d + self.nlin
        w = r.standard_normal((n + 2, d)) * scale / bw / (2 * np.pi)
        self.w = np.ascontiguousarray(w).astype(np.float32)
        self.b = r.uniform(0, 1, d).astype(np.float32)

    def _fill(self, x, out, app_only):
        d = self.app if app_only else self.d
        p = x[:, : self.w.shape[0]] @ self.w[:, :d]
        p += self.b[:d]
        q = np.rint(p)
        p -= q
        np.abs(p, out=p)
        p *= 4
        p -= 1
        a = self.app
        out[:, :a] = p[:, :a]
        out[:, a : a + self.n] = x[:, : self.n] * 0.1
        out[:, a + self.n] = 1
        if not app_only:
            out[:, a + self.nlin :] = p[:, a:]

    def __call__(self, x):
        out = np.empty((len(x), self.dim), np.float32)
        for i in range(0, len(x), CHUNK):
            self._fill(x[i : i + CHUNK], out[i : i + CHUNK], False)
        return out

    def score(self, x, w, app_only=False):
        """x N×(n+2), w dim×k → N×k."""
        res = np.empty((len(x), w.shape[1]), np.float32)
        buf = np.empty(
            (min(CHUNK, len(x)), self.dim_app if app_only else self.dim), np.float32
        )
        for i in range(0, len(x), CHUNK):
            xi = x[i : i + CHUNK]
            b = buf[: len(xi)]
            self._fill(xi, b, app_only)
            res[i : i + CHUNK] = b @ w
        return res


class Ridge:
    def __init__(self, dim, dim_app, lam=0.01):
        self.A1 = np.zeros((dim, dim), np.float32)
        self.b1 = np.zeros(dim, np.float32)
        self.dim = dim
        self.dim_app = dim_app
        self.lam = lam
        self.n1 = 0.0

    @staticmethod
    def gram(phi, y, wt):
        pw = phi * wt[:, None]
        return pw.T @ phi, pw.T @ y

    def first(self, phi, y, wt):
        self.A0, self.b0 = self.gram(phi, y, wt)
        self.w0 = self._solve(self.A0, self.b0)
        k = self.dim_app
        self.w_app = self._solve(self.A0[:k, :k], self.b0[:k])
        self.w = self.w0

    def _solve(self, A, b):
        A = A.copy()
        A[np.diag_indices(len(A))] += self.lam
        return cho_solve(
            cho_factor(A, overwrite_a=True, check_finite=False), b, check_finite=False
        ).astype(np.float32)

    def recent(self, phi, y, wt, decay, mix):
        A, b = self.gram(phi, y, wt)
        self.A1 *= decay
        self.b1 *= decay
        self.n1 *= decay
        self.A1 += A
        self.b1 += b
        self.n1 += 1
        k = mix / self.n1
        self.w = self._solve(
            (1 - mix) * self.A0 + k * self.A1, (1 - mix) * self.b0 + k * self.b1
        )
