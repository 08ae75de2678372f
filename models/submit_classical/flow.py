from __future__ import annotations
import cv2
import numpy as np


class Flow:
    """Backward flow with its confidence."""

    def __init__(self, back, conf, forward, fconf):
        self.back = back
        self.confidence = conf
        self.forward = forward
        self.fconf = fconf


class FlowEstimator:
    def __init__(self):
        self._dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, prev, cur):
        h, w = cur.shape
        back = self._dis.calc(cur, prev, None)
        fwd = self._dis.calc(prev, cur, None)
        grid = np.stack(
            np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)),
            -1,
        )
        m, conf = self._check(grid, back, fwd)
        _, fconf = self._check(grid, fwd, back)
        pw = cv2.remap(prev, m, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        d = cv2.GaussianBlur(pw.astype(np.float32) - cur, (0, 0), 1.0)
        conf *= np.exp(-((d / 25.0) ** 2))
        return Flow(m, conf, fwd, fconf)

    def _check(self, grid, a, b):
        h, w = a.shape[:2]
        m = grid + a
        f2 = cv2.remap(b, m, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        e = f2 + a
        err = e[..., 0] ** 2 + e[..., 1] ** 2
        mag = a[..., 0] ** 2 + a[..., 1] ** 2
        conf = np.exp(-err / (1.0 + 0.02 * mag))
        conf *= (
            (m[..., 0] >= -0.5)
            & (m[..., 0] <= w - 0.5)
            & (m[..., 1] >= -0.5)
            & (m[..., 1] <= h - 0.5)
        )
        return m, conf
