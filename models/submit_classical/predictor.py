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
    pos: float = option(0.7, "x")
    reach: float = option(0.35, "x")
    dim: int = option(384, "x")
    first: float = option(0.3, "x")
    motion: float = option(1.0, "x")
    fscale: float = option(0.5, "x")
    ccor: float = option(0.15, "x")
    scor: float = option(0.3, "x")
    lpen: float = option(0.5, "x")
    lrate: float = option(0.3, "x")
    kt: float = option(0.0, "x")
    tb: float = option(0.2, "x")
    comp: bool = option(True, "x")
    okS: float = option(-0.4, "x")
    okT: float = option(0.1, "x")
    adopt: float = option(0.5, "x")
    lostr: float = option(0.6, "x")
    wide: int = option(4, "x")
    absq: float = option(0.15, "x")
    okw: float = option(0.0, "x")
    lw: float = option(0.0, "x")
    lsc: float = option(0.0, "x")
    bias: float = option(0.5, "x")
    gS: float = option(0.2, "x")
    unc: float = option(0.7, "x")
    mnoise: float = option(10.0, "x")
    tgate: float = option(0.3, "x")
    trate: float = option(0.1, "x")
    dbg: bool = option(False, "x")

class ClassicalPredictor:
    Options = Options
    def __init__(self, options, *, device="auto"):
        self.o = options
    def describe(self):
        return Description(model="classical", licence="Apache-2.0")
    def session(self, video, *, scale=1.0):
        return Session(video, self.o, scale)

GRID = 96; SPAN = 3.0

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def similarity(p, q, w):
    """Weighted LSQ q ≈ s·p + t (scale and translation), trimmed once. → s, mean p, mean q"""
    for _ in range(3):
        W = w.sum() + 1e-9
        mp, mq = (w[:, None] * p).sum(0) / W, (w[:, None] * q).sum(0) / W
        dp, dq = p - mp, q - mq
        s = (w[:, None] * dp * dq).sum() / ((w[:, None] * dp * dp).sum() + 1e-6)
        s = min(max(s, 0.8), 1.25)
        e = np.sqrt(((dq - s * dp) ** 2).sum(1))
        w = w * np.exp(-(e / (np.median(e) * 2 + 0.5)) ** 2)
    return s, mp, mq

class Track:
    def __init__(self, s, mask):
        self.s = s
        o = s.o
        self.rf = RandomFeatures(features.N, d=o.dim, bw=o.bw, pos=o.pos)
        self.ridge = Ridge(self.rf.dim, self.rf.dim_app, o.lam)
        m = cv2.resize(mask.astype(np.float32), (s.w, s.h), interpolation=cv2.INTER_AREA)
        self.prob = np.clip(m, 0.001, .999)
        self.logit = np.log(self.prob / (1 - self.prob))
        ys, xs = np.mgrid[:s.h, :s.w].astype(np.float32)
        t = max(m.sum(), 1e-6)
        self.c = np.array([(m * xs).sum() / t, (m * ys).sum() / t])
        self.size = math.sqrt(max(t, 4.0))
        self.vel = np.zeros(2); self.seen = 0
        self.lost = 0; self.vis = 1.0; self.quality = 1.0; self.rho = 1.0; self.ref = None
        self.template = self.align(m)
        self.omo = None
        self.trained = False; self.good = np.ones((s.h, s.w), np.float32); self.rtyp = 1.0; self.seen_t = 0

    def samples(self, x, y):
        """features at integer pixel arrays x, y (any shape) → N×(n+2)"""
        x = x.ravel(); y = y.ravel()
        out = np.empty((len(x), features.N + 2), np.float32)
        out[:, :features.N] = self.s.feat[y, x]
        out[:, -2] = np.clip((x - self.c[0]) / self.size, -4, 4)
        out[:, -1] = np.clip((y - self.c[1]) / self.size, -4, 4)
        return out

    def train(self, others):
        s = self.s; p = self.prob
        first = not self.trained
        hi = p > 0.8
        fgm = hi if first else hi & self.ok
        hard = (p > 0.2).astype(np.uint8)
        r = max(3, int(self.size * 0.6))
        near = cv2.dilate(hard, np.ones((2 * r + 1,) * 2, np.uint8)) > 0
        low = p < 0.2
        def pick(m, n):
            i = np.flatnonzero(m.ravel())
            return i if len(i) <= n else i[np.linspace(0, len(i) - 1, n).astype(int)]
        k = 2 if first else 1
        groups = [(pick(fgm, 1000 * k), 1, .45), (pick(near & low, 1000 * k), -1, .35), (pick(~near, 500 * k), -1, .2)]
        if others is not None:
            groups.append((pick(others > 0.8, 600 * k), -1, .25))
        if not len(groups[0][0]): return
        groups = [g for g in groups if len(g[0])]
        idx = np.concatenate([g[0] for g in groups])
        y = np.concatenate([np.full(len(g[0]), g[1], np.float32) for g in groups])
        wt = np.concatenate([np.full(len(g[0]), g[2] / len(g[0]), np.float32) for g in groups])
        yy, xx = np.divmod(idx, s.w)
        phi = self.rf(self.samples(xx, yy))
        if first:
            self.ridge.first(phi, y, wt); self.trained = True
            self.ref = None
            self.ref = max(0.3, float(self.rate(self.c[None], np.array([self.size]))[0])) 
        else: self.ridge.recent(phi, y, wt, s.o.decay, s.o.mix)

    def move(self, prior):
        """Update centre, size, velocity with the flow of the visible object."""
        s = self.s; fl = s.flow
        cam = s.camera(self.c)
        w = self.prob * fl.fconf * self.good
        ys, xs = np.nonzero((self.prob > .5) & (fl.fconf > 0.3) & (self.good > 0.1))
        pred = cam + self.vel
        n = len(ys); self.omo = None
        expect = self.size ** 2
        if n > 0.15 * expect and n > 6:
            st = max(1, n // 800)
            ys, xs = ys[::st], xs[::st]
            p = np.stack([xs, ys], -1).astype(np.float64)
            q = p + fl.forward[ys, xs]
            sc, mp, mq = similarity(p, q, w[ys, xs].astype(np.float64))
            new = mq + sc * (self.c - mp)
            trust = min(1.0, n / (0.5 * expect)) * min(max((self.rho / self.rtyp - 0.4) / 0.3, 0.0), 1.0)
            self.omo = (sc, mp, mq)
            new = trust * new + (1 - trust) * (self.c + pred)
            if self.vis > 0.7: self.size *= min(max(sc, 0.96), 1.04) ** s.o.fscale
            v = new - self.c - cam
            a = 0.5 * trust if self.seen else 1.0
            self.vel = (1 - a) * self.vel + a * v
            self.seen += 1
            self.c = new
        else:
            self.c = self.c + pred
            self.vel = self.vel * 0.97
        lim = np.array([s.w, s.h], float)
        self.c = np.clip(self.c, -0.5 * self.size, lim + 0.5 * self.size)

    def expected(self):
        """Template moved to the present centre and size."""
        return cv2.warpAffine(self.template, self.grid(), (self.s.w, self.s.h), flags=cv2.INTER_LINEAR)

    def grid(self):
        """template pixel → frame pixel"""
        k = self.size * 2 * SPAN / GRID
        return np.float32([[k, 0, self.c[0] - k * (GRID - 1) / 2], [0, k, self.c[1] - k * (GRID - 1) / 2]])

    def align(self, m):
        k = self.size * 2 * SPAN / GRID
        if k > 1.5: m = cv2.GaussianBlur(m, (0, 0), k * 0.4)
        return cv2.warpAffine(m, self.grid(), (GRID, GRID), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    def predict(self):
        s = self.s; o = s.o; fl = s.flow
        prior = cv2.remap(self.prob, fl.back, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        pl = cv2.remap(self.logit, fl.back, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.move(prior)
        self.locate()
        hard = prior > 0.5
        exp = self.expected()
        self.exp = exp
        if self.vis < 0.7: hard = hard | (exp > 0.5)
        if not hard.any():
            self.blank(); return
        ys, xs = np.nonzero(hard)
        r = max(4, int(self.size * o.reach))
        x0, x1, y0, y1 = max(xs.min() - 2*r, 0), min(xs.max() + 2*r + 1, s.w), max(ys.min() - 2*r, 0), min(ys.max() + 2*r + 1, s.h)
        st = 2 if (y1 - y0) * (x1 - x0) > 12000 else 1
        yy, xx = np.mgrid[y0:y1:st, x0:x1:st]
        w2 = np.stack([self.ridge.w, self.ridge.w0], -1)
        S2 = self.rf.score(self.samples(xx, yy), w2).reshape(yy.shape + (2,))
        if st > 1:
            h, w = y1 - y0, x1 - x0
            # sample (i) sits on pixel st·i
            gx, gy = np.meshgrid(np.arange(w, dtype=np.float32) / st, np.arange(h, dtype=np.float32) / st)
            S2 = cv2.remap(S2, gx, gy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        S2 = np.clip(S2, -1.2, 1.2)
        S0 = S2[..., 1]
        S = (1 - o.first) * S2[..., 0] + o.first * S0
        dist = cv2.distanceTransform((~hard[y0:y1, x0:x1]).astype(np.uint8), cv2.DIST_L2, 3)
        gate = np.minimum(0, -(dist - r) / (0.25 * r)) * 2
        c = fl.confidence[y0:y1, x0:x1]
        if o.motion and self.omo is not None:
            L2 = self.motion(x0, x1, y0, y1)
            ins = (prior[y0:y1, x0:x1] > 0.7)
            ring = (exp[y0:y1, x0:x1] < 0.1) & (prior[y0:y1, x0:x1] < 0.1)
            if ins.sum() > 8 and ring.sum() > 8:
                sep = min(float(L2[ins].mean()), 2 * float(L2[ins].mean()) - 2 * float(L2[ring].mean())) / o.motion
            else: sep = 0.0
            L2 = L2 * min(max(sep - 0.1, 0.0) / 0.3, 1.0)
        else: L2 = 0
        if self.seen_t > 0 and o.tgate > 0:
            td = cv2.distanceTransform((exp[y0:y1, x0:x1] < 0.25).astype(np.uint8), cv2.DIST_L2, 3)
            k = o.tgate * self.size + 3
            gate = np.minimum(gate, -4 * np.maximum(td / k - 1, 0))
        if self.seen_t > 0 and o.kt > 0:
            L2 = L2 + o.kt * np.clip(2 * exp[y0:y1, x0:x1] - 1 + o.tb, -1, 0.5)
        self.S = S; self.dbgm = L2 if not isinstance(L2, int) else S * 0
        L = L2 - o.bias + o.prior * c * np.clip(pl[y0:y1, x0:x1], -5, 5) + o.gain * S + np.maximum(gate, -10)
        L = smooth(L[..., None], s.guide[y0:y1, x0:x1], o.smooth, o.sigma)[..., 0]
        if o.comp and self.seen_t > 0: L = self.clean(L, exp[y0:y1, x0:x1])
        self.logit = np.full((s.h, s.w), -10, np.float32)
        self.logit[y0:y1, x0:x1] = L
        self.S0 = S0; self.box = (y0, y1, x0, x1)
        self.ok = np.zeros((s.h, s.w), bool)
        self.good = np.zeros((s.h, s.w), np.float32)
        self.good[y0:y1, x0:x1] = np.clip(S0 + o.gS, 0.0, 1) * (exp[y0:y1, x0:x1] > o.okT)
        self.ok[y0:y1, x0:x1] = ((o.okw * S + (1 - o.okw) * S0) > o.okS) & (exp[y0:y1, x0:x1] > o.okT)

    def points(self):
        """Template points: u, v (units of size), weight (positive inside, negative around)."""
        T = self.template
        ins = T > 0.6
        if ins.sum() < 4: ins = T >= T.max() * 0.7
        k = 2 * SPAN / GRID
        near = cv2.dilate((T > 0.3).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        ring = near & (T < 0.15)
        out = []
        for m, sgn, n in ((ins, 1, 160), (ring, -1, 100)):
            i = np.flatnonzero(m.ravel())
            if len(i) > n: i = i[np.linspace(0, len(i) - 1, n).astype(int)]
            y, x = np.divmod(i, GRID)
            out.append(np.stack([(x - (GRID - 1) / 2) * k, (y - (GRID - 1) / 2) * k, np.full(len(i), sgn / max(len(i), 1))], -1))
        return np.concatenate(out).astype(np.float32)

    def rate(self, cs, ss):
        """Scores of hypotheses: centres H×2, sizes H → H."""
        s = self.s; o = s.o
        P = self.points()
        x = cs[:, None, 0] + ss[:, None] * P[None, :, 0]
        y = cs[:, None, 1] + ss[:, None] * P[None, :, 1]
        xi = np.rint(x).astype(int); yi = np.rint(y).astype(int)
        inside = (xi >= 0) & (xi < s.w) & (yi >= 0) & (yi < s.h)
        xi = np.clip(xi, 0, s.w - 1); yi = np.clip(yi, 0, s.h - 1)
        f = np.empty(xi.shape + (features.N + 2,), np.float32)
        f[..., :-2] = s.feat[yi, xi]
        f[..., -2:] = np.clip(P[None, :, :2], -4, 4)
        S = np.clip(self.rf.score(f.reshape(-1, features.N + 2), (o.lw * self.ridge.w + (1 - o.lw) * self.ridge.w0)[:, None]), -1.2, 1.2).reshape(xi.shape)
        return (S * P[None, :, 2] * inside).sum(1)

    def locate(self):
        s = self.s; o = s.o
        if self.ref is None: return
        g = np.array([(i, j) for j in (-1, 0, 1) for i in (-1, 0, 1)], float)
        step = max(1.0, 0.12 * self.size)
        uncertain = self.vis < 0.5 or self.rho < o.unc * self.rtyp
        if uncertain:
            k = min(5, 2 + self.lost // 2)
            r = np.arange(-k, k + 1)
            g = np.stack(np.meshgrid(r, r), -1).reshape(-1, 2).astype(float)
            step = max(1.0, 0.2 * self.size)
        cs = self.c + g * step
        mid = len(g) // 2
        if self.lost >= o.wide: cs = np.concatenate([cs, self.scan()])
        sc = self.rate(cs, np.full(len(cs), self.size)) / self.ref
        d2 = ((cs - self.c) ** 2).sum(1) / self.size ** 2
        d2 = np.minimum(d2, 4 + 0 * d2) if self.lost >= o.wide else d2
        pen = sc - o.lpen * d2 / (1 + 0.5 * self.lost)
        b = int(pen.argmax())
        self.jump = False
        if pen[b] > pen[mid] + 0.03 and sc[b] > o.adopt * self.rtyp:
            f = o.lrate if not uncertain else 1.0
            self.jump = b >= len(g) or d2[b] > 0.5
            self.c = self.c + f * (cs[b] - self.c)
            self.rho = float(sc[b])
        else:
            self.rho = float(sc[mid])
        if o.lsc and not uncertain:
            z = np.array([0.94, 1.0, 1.06])
            r3 = self.rate(np.repeat(self.c[None], 3, 0), self.size * z) / self.ref
            k3 = int(r3.argmax())
            if r3[k3] > r3[1] + 0.02: self.size *= z[k3] ** o.lsc
        if self.vis > 0.7 and self.quality > 0.3 and self.rho > 0.6 * self.rtyp:
            self.rtyp += 0.05 * (min(self.rho, 1.0) - self.rtyp)
        self.lost = self.lost + 1 if self.rho < o.lostr * self.rtyp else 0

    def scan(self):
        """Candidate centres over the whole frame, by appearance alone."""
        s = self.s
        st = int(min(max(2, self.size / 5), 6))
        ys, xs = np.mgrid[st // 2:s.h:st, st // 2:s.w:st]
        f = np.zeros((xs.size, features.N + 2), np.float32)
        f[:, :features.N] = s.feat[ys, xs].reshape(-1, features.N)
        S = np.clip(self.rf.score(f, self.ridge.w_app[:, None], app_only=True), -1.2, 1.2).reshape(xs.shape)
        k = max(1, int(round(self.size / st)) | 1)
        m = cv2.blur(S, (k, k), borderType=cv2.BORDER_CONSTANT) - 0.5 * cv2.blur(S, (2 * k + 1, 2 * k + 1), borderType=cv2.BORDER_REPLICATE)
        peak = m >= cv2.dilate(m, np.ones((3, 3), np.uint8))
        i = np.flatnonzero(peak.ravel())
        i = i[np.argsort(-m.ravel()[i], kind="stable")[:40]]
        c = np.stack([xs.ravel()[i], ys.ravel()[i]], -1).astype(float)
        off = np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)], float) * 0.25 * self.size
        return (c[:, None] + off).reshape(-1, 2)

    def clean(self, L, exp):
        m = (L > 0).astype(np.uint8)
        r = int(round(0.03 * self.size))
        e = np.ones((2 * r + 1,) * 2, np.uint8)
        o = cv2.erode(m, e) if r else m
        n, lab, st, _ = cv2.connectedComponentsWithStats(o, connectivity=8)
        if n <= 2: return L
        good = np.zeros(n, bool)
        inner = np.bincount(lab.ravel(), weights=(exp > 0.25).ravel(), minlength=n)
        good = inner >= 0.3 * st[:, 4]
        good[1 + st[1:, 4].argmax()] = True
        good[0] = False
        bad = ~good; bad[0] = False
        if not bad.any(): return L
        g = good[lab].astype(np.uint8); b = bad[lab].astype(np.uint8)
        if r:
            e = np.ones((2 * r + 3,) * 2, np.uint8)
            g = cv2.dilate(g, e); b = cv2.dilate(b, e)
        return np.where((b > 0) & (g == 0), np.minimum(L, -2), L)

    def motion(self, x0, x1, y0, y1):
        s = self.s
        cur = s.prev[y0:y1, x0:x1].astype(np.float32)
        def err(model):
            sc, mp, mq = model
            # previous = mp + (x - mq) / sc
            M = np.float32([[1 / sc, 0, mp[0] + (x0 - mq[0]) / sc], [0, 1 / sc, mp[1] + (y0 - mq[1]) / sc]])
            w = cv2.warpAffine(s.before, M, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
            return cv2.GaussianBlur(np.abs(w - cur), (0, 0), 2.0)
        a, b = err(s.cam), err(self.omo)
        return s.o.motion * (a - b) / (a + b + s.o.mnoise)

    def blank(self):
        s = self.s
        self.logit = np.full((s.h, s.w), -10, np.float32)
        self.S0 = np.zeros((0, 0)); self.box = (0, 0, 0, 0); self.ok = np.zeros((s.h, s.w), bool); self.good = np.zeros((s.h, s.w), np.float32)

    def finish(self):
        """After competition: visibility, corrections."""
        s = self.s
        self.prob = sigmoid(self.logit)
        y0, y1, x0, x1 = self.box
        m = self.prob[y0:y1, x0:x1] > 0.5
        n = int(m.sum())
        self.quality = float(self.S0[m].mean()) if n else -1.0
        self.vis = n / self.size ** 2
        self.seen_t = 1
        self.here = n > max(0, 0.01 * self.size ** 2) and (self.quality > 0.35 or (self.quality > s.o.absq and self.rho > 0.4 * self.rtyp))
        if not self.here:
            self.logit = np.minimum(self.logit, -1.0) - 2
            self.prob = sigmoid(self.logit)
            self.vis = 0.0
        if n > 4 and self.here:
            ys, xs = np.nonzero(m)
            ctr = np.array([xs.mean() + x0, ys.mean() + y0])
            if self.vis > 0.75 and self.rho > 0.5:
                self.c += s.o.ccor * (ctr - self.c)
                self.size *= min(max(self.vis, .7), 1.4) ** (0.5 * s.o.scor)
            elif self.vis > 0.3:
                # slow shrink: a permanent loss of area is a change of shape
                self.size *= self.vis ** (0.5 * 0.03)
        if 0.7 < self.vis < 1.4 and self.quality > 0.2:
            self.template += s.o.trate * (self.align(self.prob) - self.template)
        if s.o.dbg: print(s.t, 'c', self.c.round(), 'size %.1f vis %.2f q %.2f rho %.2f/%.2f lost %d here %d' % (self.size, self.vis, self.quality,self.rho,self.rtyp,self.lost,self.here), 'v', self.vel.round(1))

class Session:
    def __init__(self, video, o, scale):
        self.o = o
        k = min(1.0, math.sqrt(o.pixels / (video.height * video.width))) * scale
        self.h, self.w = max(8, round(video.height * k)), max(8, round(video.width * k))
        self.tracks = {}
        self.flowest = FlowEstimator()
        self.prev = None
        self.t = -1
    def _load(self, frame):
        self.t += 1
        small = cv2.resize(frame, (self.w, self.h), interpolation=cv2.INTER_AREA)
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        self.feat = features.compute(small)
        self.guide = self.feat[..., :3]
        self.flow = self.flowest(self.prev, gray) if self.prev is not None else None
        self.before = None if self.prev is None else self.prev.astype(np.float32)
        self.prev = gray
        if self.flow is not None:
            st = max(2, self.w // 50)
            ys, xs = np.mgrid[st // 2:self.h:st, st // 2:self.w:st].reshape(2, -1)
            w = self.flow.fconf[ys, xs].astype(float)
            for t in self.tracks.values(): w = w * (1 - t.prob[ys, xs])
            p = np.stack([xs, ys], -1).astype(float); q = p + self.flow.forward[ys, xs]
            self.cam = similarity(p, q, w + 1e-6)
    def camera(self, c):
        sc, mp, mq = self.cam
        return mq + sc * (c - mp) - c
    def start(self, frame, masks):
        return self.add(frame, masks)
    def add(self, frame, masks):
        self._load(frame)
        self._advance()
        new = []
        for k, m in masks.items(): self.tracks[k] = Track(self, m); new.append(k)
        for k in new: self.tracks[k].train(self._others(k))
        return self._out()
    def _others(self, k):
        o = [t.prob for j, t in self.tracks.items() if j != k]
        return np.max(o, 0) if o else None
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
        for t in ts: t.finish()
        for k, t in self.tracks.items():
            if t.vis > 0.4 and t.quality > 0.0: t.train(self._others(k))
    def _out(self):
        L = np.stack([t.logit for t in self.tracks.values()]).astype(np.float32)
        return Prediction(tuple(self.tracks), np.clip(L, -12, 12), np.full(len(L), 5, np.float32))
    def close(self):
        self.tracks.clear()
