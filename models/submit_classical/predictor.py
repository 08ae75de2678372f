from __future__ import annotations
import math
from dataclasses import dataclass
import cv2
import numpy as np
from submit.predictor import Description, InputSizes, Prediction, option
from . import features
from .flow import FlowEstimator
from .learner import RandomFeatures, Ridge
from .refine import smooth

@dataclass(frozen=True)
class Options:
    pixels: int = option(105_000, "x")
    prior: float = option(0.7, "x")
    gain: float = option(4.0, "x")
    mix: float = option(0.5, "x")
    decay: float = option(0.9, "x")
    lam: float = option(0.003, "x")
    smooth: float = option(20.0, "x")
    sigma: float = option(0.15, "x")
    bw: float = option(1.0, "x")
    pos: float = option(1.0, "x")
    reach: float = option(0.35, "x")
    dim: int = option(384, "x")

class ClassicalPredictor:
    Options = Options
    def __init__(self, options, *, device="auto"):
        self.o = options
    def describe(self):
        return Description(model="classical", licence="Apache-2.0")
    def session(self, video, *, scale=1.0):
        return Session(video, self.o, scale)

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

class Track:
    def __init__(self, s, mask):
        self.s = s
        o = s.o
        self.rf = RandomFeatures(features.N, d=o.dim, bw=o.bw, pos=o.pos)
        self.ridge = Ridge(self.rf.dim, o.lam)
        m = cv2.resize(mask.astype(np.float32), (s.w, s.h), interpolation=cv2.INTER_AREA)
        self.prob = np.clip(m, 0.001, .999)
        self.logit = np.log(self.prob / (1 - self.prob))
        self.area = max(m.sum(), 1)
        self.frame_of(m)
        self.train(m, first=True)

    def frame_of(self, m):
        ys, xs = np.mgrid[:self.s.h, :self.s.w].astype(np.float32)
        t = max(m.sum(), 1e-6)
        self.c = np.array([(m * xs).sum() / t, (m * ys).sum() / t])
        self.size = math.sqrt(max(t, 4.0))

    def samples(self, idx):
        f = self.s.feat.reshape(-1, features.N)[idx]
        y, x = np.divmod(idx, self.s.w)
        p = np.stack([(x - self.c[0]) / self.size, (y - self.c[1]) / self.size], -1).astype(np.float32)
        return np.concatenate([f, np.clip(p, -4, 4)], 1)

    def train(self, p, first=False):
        s = self.s; rng = s.rng
        fg = np.flatnonzero(p.ravel() > 0.8)
        hard = (p > 0.2).astype(np.uint8)
        r = max(3, int(self.size * 0.6))
        near = cv2.dilate(hard, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1,) * 2)) > 0
        bg = np.flatnonzero((near & (p < 0.2)).ravel())
        far = np.flatnonzero(~near.ravel())
        def pick(i, n):
            return i if len(i) <= n else i[np.linspace(0, len(i) - 1, n).astype(int)]
        k = 2 if first else 1
        fg, bg, far = pick(fg, 1000 * k), pick(bg, 1000 * k), pick(far, 500 * k)
        if not len(fg): return
        idx = np.concatenate([fg, bg, far])
        y = np.concatenate([np.ones(len(fg)), -np.ones(len(bg) + len(far))]).astype(np.float32)
        wt = np.concatenate([np.full(len(fg), .4 / max(len(fg), 1)), np.full(len(bg), .4 / max(len(bg), 1)), np.full(len(far), .2 / max(len(far), 1))]).astype(np.float32)
        phi = self.rf(self.samples(idx))
        if first: self.ridge.first(phi, y, wt)
        else: self.ridge.recent(phi, y, wt, s.o.decay)
        self.ridge.solve(s.o.mix)

    def predict(self):
        s = self.s; o = s.o; fl = s.flow
        prior = cv2.remap(self.prob, fl.back, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        pl = cv2.remap(self.logit, fl.back, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        hard = prior > 0.5
        if hard.any():
            # move frame
            old = self.prob > 0.5
            d = fl.forward[old]
            if len(d):
                self.c = self.c + np.median(d, 0)
            ys, xs = np.nonzero(hard)
            self.c = 0.9 * self.c + 0.1 * np.array([xs.mean(), ys.mean()])
            self.size = 0.9 * self.size + 0.1 * math.sqrt(max(hard.sum(), 4))
            r = max(4, int(self.size * o.reach))
            x0, x1, y0, y1 = max(xs.min() - 2*r, 0), min(xs.max() + 2*r + 1, s.w), max(ys.min() - 2*r, 0), min(ys.max() + 2*r + 1, s.h)
        else:
            self.logit = np.full((s.h, s.w), -8, np.float32); self.prob = sigmoid(self.logit); return
        yy, xx = np.mgrid[y0:y1, x0:x1]
        idx = (yy * s.w + xx).ravel()
        S = (self.rf(self.samples(idx)) @ self.ridge.w).reshape(y1 - y0, x1 - x0)
        S = np.clip(S, -1.2, 1.2)
        dist = cv2.distanceTransform((~hard[y0:y1, x0:x1]).astype(np.uint8), cv2.DIST_L2, 3)
        gate = np.minimum(0, -(dist - r) / (0.25 * r)) * 2
        c = fl.confidence[y0:y1, x0:x1]
        L = o.prior * c * np.clip(pl[y0:y1, x0:x1], -5, 5) + o.gain * S + np.maximum(gate, -10)
        conf = np.full_like(L, 1.0)
        st = np.stack([L * conf, conf], -1)
        st = smooth(st, s.guide[y0:y1, x0:x1], o.smooth, o.sigma)
        L = st[..., 0] / st[..., 1]
        self.logit = np.full((s.h, s.w), -10, np.float32)
        self.logit[y0:y1, x0:x1] = L
        self.S = S

class Session:
    def __init__(self, video, o, scale):
        self.o = o
        k = min(1.0, math.sqrt(o.pixels / (video.height * video.width))) * scale
        self.h, self.w = max(8, round(video.height * k)), max(8, round(video.width * k))
        self.tracks = {}
        self.flowest = FlowEstimator()
        self.rng = np.random.default_rng(0)
        self.prev = None
    def _load(self, frame):
        small = cv2.resize(frame, (self.w, self.h), interpolation=cv2.INTER_AREA)
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        self.feat = features.compute(small)
        self.guide = self.feat[..., :3]
        self.flow = self.flowest(self.prev, gray) if self.prev is not None else None
        self.prev = gray
    def start(self, frame, masks):
        return self.add(frame, masks)
    def add(self, frame, masks):
        self._load(frame)
        self._advance()
        for k, m in masks.items(): self.tracks[k] = Track(self, m)
        return self._out()
    def step(self, frame):
        self._load(frame)
        self._advance()
        return self._out()
    def _advance(self):
        ts = list(self.tracks.values())
        if not ts: return
        for t in ts: t.predict()
        L = np.stack([t.logit for t in ts])
        if len(ts) > 1:
            for i, t in enumerate(ts):
                other = np.delete(L, i, 0).max(0)
                t.logit = L[i] - np.maximum(other, 0) 
        for t in ts:
            t.prob = sigmoid(t.logit)
            if (t.prob > .5).sum() > 4: t.train(t.prob)
    def _out(self):
        L = np.stack([t.logit for t in self.tracks.values()]).astype(np.float32)
        return Prediction(tuple(self.tracks), np.clip(L, -12, 12), np.full(len(L), 5, np.float32))
    def close(self):
        self.tracks.clear()
