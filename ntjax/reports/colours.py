"""Colours that the colour-blind tell apart."""

# Okabe & Ito's, in this order.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
