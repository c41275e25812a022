"""Metrics with bootstrap intervals, over arrays."""
