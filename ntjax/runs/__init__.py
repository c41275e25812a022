"""A run on disk: its adapter, head, calibration and predictions."""
