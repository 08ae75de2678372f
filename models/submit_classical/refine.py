from __future__ import annotations
import numpy as np


def _pass(u, wgt):
    """u: h×w×k, weights h×(w-1) between columns; solve along axis 1."""
    h, w = u.shape[:2]
    a = np.zeros((w, h), np.float32)
    a[1:] = -wgt.T
    c = np.zeros((w, h), np.float32)
    c[:-1] = -wgt.T
    b = 1 - a - c
    u = np.ascontiguousarray(u.transpose(1, 2, 0))  # w,k,h
    cp = np.empty_like(c)
    cp[0] = c[0] / b[0]
    u[0] /= b[0]
    for i in range(1, w):
        den = 1 / (b[i] - a[i] * cp[i - 1])
        cp[i] = c[i] * den
        u[i] = (u[i] - a[i] * u[i - 1]) * den
    for i in range(w - 2, -1, -1):
        u[i] -= cp[i] * u[i + 1]
    return u.transpose(2, 0, 1)


def smooth(u, guide, lam, sigma, iterations=2):
    wx = np.exp(-np.sqrt(((guide[:, 1:] - guide[:, :-1]) ** 2).sum(-1)) / sigma)
    wy = np.exp(-np.sqrt(((guide[1:] - guide[:-1]) ** 2).sum(-1)) / sigma)
    for t in range(iterations):
        l = 1.5 * lam * 4 ** (iterations - t - 1) / (4**iterations - 1)
        u = _pass(u, wx * l)
        u = _pass(u.transpose(1, 0, 2), wy.T * l).transpose(1, 0, 2)
    return u
