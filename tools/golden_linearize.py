#!/usr/bin/env python3
"""Writes src/linearize/testdata/activation_moments.txt: E[s], E[s'], E[s''], E[s'''] and E[s^2 (a-mu)^k],
k = 0, 1, 2, of every activation for a ~ N(mean, variance), by mpmath's quadrature at 25 digits.

Derivatives are those of distributions, taken under the integral by parts (E[s^(k)] = E[He_k(z) s] / s^k), so the
script needs the activations' values alone. Run: python tools/golden_linearize.py
"""
import functools
import pathlib

import mpmath as mp

mp.mp.dps = 25

ACTIVATIONS = {
    "silu": lambda a: a / (1 + mp.exp(-a)),
    "gelu_erf": lambda a: a * mp.erfc(-a / mp.sqrt(2)) / 2,
    "gelu_tanh": lambda a: a * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (a + mp.mpf("0.044715") * a**3))) / 2,
    "quick_gelu": lambda a: a / (1 + mp.exp(-mp.mpf("1.702") * a)),
    "relu": lambda a: a if a > 0 else mp.mpf(0),
    "relu2": lambda a: a * a if a > 0 else mp.mpf(0),
}
POINTS = [(0.0, 1.0), (-0.75, 0.0625), (1.5, 2.25), (-3.0, 1.0), (0.25, 36.0)]


def moments(f, mean, variance):
    mean, s = mp.mpf(mean), mp.sqrt(variance)
    kink = -mean / s
    cuts = sorted({mp.mpf(c) for c in range(-16, 17, 2)} | ({kink} if abs(kink) < 16 else set()))
    he = [lambda z: 1, lambda z: z, lambda z: z * z - 1, lambda z: z**3 - 3 * z]

    @functools.cache  # the seven integrals share their nodes
    def at(z):
        value = f(mean + s * z)
        return value * mp.npdf(z), value * value * mp.npdf(z)

    linear = [mp.quad(lambda z, k=k: he[k](z) * at(z)[0], cuts) / s**k for k in range(4)]
    squares = [mp.quad(lambda z, k=k: at(z)[1] * (s * z) ** k, cuts) for k in range(3)]
    return linear + squares


def main():
    target = pathlib.Path(__file__).resolve().parent.parent / "src/linearize/testdata/activation_moments.txt"
    target.parent.mkdir(exist_ok=True)
    with target.open("w") as out:
        out.write("# activation mean variance e0 e1 e2 e3 square0 square1 square2 (tools/golden_linearize.py)\n")
        for name, f in ACTIVATIONS.items():
            for mean, variance in POINTS:
                values = " ".join(mp.nstr(v, 20) for v in moments(f, mean, variance))
                out.write(f"{name} {mean} {variance} {values}\n")


if __name__ == "__main__":
    main()
