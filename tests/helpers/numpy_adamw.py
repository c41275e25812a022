"""AdamW and its schedules in NumPy, and which leaves decay."""

import math

import numpy as np


def expected_factor(schedule, step, steps, warmup):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / (steps - warmup)
    if schedule == "linear":
        return 1 - done
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1.0 if step == 0 else math.sqrt(max(warmup, 1) / step)


class NumpyAdamW:
    """Loshchilov and Hutter 2019, algorithm 2, with the gradient's global norm bounded."""

    def __init__(self, weights, decays, weight_decay, clip):
        self.weights = {name: w.astype(np.float64) for name, w in weights.items()}
        self.first = {name: np.zeros(w.shape) for name, w in weights.items()}
        self.second = {name: np.zeros(w.shape) for name, w in weights.items()}
        self.decays, self.weight_decay, self.clip, self.count = decays, weight_decay, clip, 0

    def step(self, gradients, rate):
        self.count += 1
        norm = math.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in gradients.values()))
        shrink = min(1.0, self.clip / norm) if self.clip else 1.0
        for name, gradient in gradients.items():
            g = gradient.astype(np.float64) * shrink
            self.first[name] = 0.9 * self.first[name] + 0.1 * g
            self.second[name] = 0.999 * self.second[name] + 0.001 * g**2
            m = self.first[name] / (1 - 0.9**self.count)
            v = self.second[name] / (1 - 0.999**self.count)
            decay = self.weight_decay * self.weights[name] if self.decays[name] else 0.0
            self.weights[name] -= rate * (m / (np.sqrt(v) + 1e-8) + decay)
        return norm


HEAD_DECAYS = {
    ".head['dense']['b']": False,
    ".head['dense']['w']": True,
    ".head['output']['b']": False,
    ".head['output']['w']": True,
}
IA3_DECAYS = HEAD_DECAYS | {f".adapter.parameters['l_{name}']": False for name in ("k", "v", "ff")}
LORA_DECAYS = HEAD_DECAYS | {
    f".adapter.parameters['{target}']['{factor}']": True
    for target in ("query", "value")
    for factor in ("a", "b")
}
