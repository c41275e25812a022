"""Calibrate outputs on held-out rows: scaling, conformal sets, prior shift. No JAX."""
