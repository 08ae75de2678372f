from __future__ import annotations
import numpy as np

class RandomFeatures:
    def __init__(self, n, seed=0, d=384, bw=1.0, pos=1.0):
        r = np.random.default_rng(seed)
        g = d // 3
        scale = np.zeros((n + 2, d), np.float32)
        scale[0:6, :g] = 0.8; scale[-2:, :g] = 0.5 * pos
        scale[0:n, g:2*g] = 0.5
        scale[0:3, 2*g:] = 0.8; scale[6:n, 2*g:] = .3; scale[-2:, 2*g:] = 2.0 * pos
        self.w = (r.standard_normal((n + 2, d)) * scale / bw).astype(np.float32)
        self.b = r.uniform(0, 2 * np.pi, d).astype(np.float32)
        self.dim = d + n + 1
        self.d = d
    def __call__(self, x):
        """x N×n → N×dim"""
        out = np.empty((len(x), self.dim), np.float32)
        p = x @ self.w; p += self.b
        np.cos(p, out=out[:, :self.d])
        out[:, :self.d] *= np.sqrt(2.0 / 3)
        out[:, self.d:-1] = x[:, :-2] * 0.1
        out[:, -1] = 1
        return out

class Ridge:
    def __init__(self, dim, lam=0.01):
        self.A0 = np.zeros((dim, dim)); self.b0 = np.zeros(dim)
        self.A1 = np.zeros((dim, dim)); self.b1 = np.zeros(dim)
        self.dim = dim; self.lam = lam; self.n1 = 0.0
        self.w = np.zeros(dim, np.float32)
    @staticmethod
    def gram(phi, y, wt):
        pw = phi * wt[:, None]
        return (pw.T @ phi).astype(np.float64), (pw.T @ y).astype(np.float64)
    def first(self, phi, y, wt):
        A, b = self.gram(phi, y, wt)
        self.A0 += A; self.b0 += b
    def recent(self, phi, y, wt, decay):
        A, b = self.gram(phi, y, wt)
        self.A1 *= decay; self.b1 *= decay; self.n1 *= decay
        self.A1 += A; self.b1 += b; self.n1 += 1
    def solve(self, mix):
        m = mix if self.n1 > 0 else 0.0
        k = m / max(self.n1, 1e-9)
        A = (1 - m) * self.A0 + k * self.A1
        b = (1 - m) * self.b0 + k * self.b1
        A[np.diag_indices(self.dim)] += self.lam
        from scipy.linalg import solve
        self.w = solve(A, b, assume_a="pos").astype(np.float32)
