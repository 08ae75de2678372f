from __future__ import annotations
import cv2
import numpy as np


def blur(x, s):
    return cv2.GaussianBlur(x, (0, 0), s, borderType=cv2.BORDER_REFLECT)


def compute(rgb):
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = lab * np.float32([0.08, 0.12, 0.12])
    L = lab[..., 0]
    gx = cv2.Sobel(L, cv2.CV_32F, 1, 0, scale=0.25)
    gy = cv2.Sobel(L, cv2.CV_32F, 0, 1, scale=0.25)
    d1 = (gx + gy) * 0.7071
    d2 = (gx - gy) * 0.7071
    e = np.abs(np.stack([gx, gy, d1, d2], -1))
    f1 = blur(lab, 0.8)
    f2 = blur(lab, 2.5)
    f3 = blur(lab, 6)
    std = np.sqrt(np.maximum(blur(L * L, 2.5) - blur(L, 2.5) ** 2, 0))
    e1 = np.sqrt(blur(e, 2.5))
    e2 = np.sqrt(blur(e, 6))
    return np.concatenate([f1, f2, f3, std[..., None], e1, e2], -1).astype(np.float32)


N = 18
