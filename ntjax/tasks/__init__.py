"""Tasks: how labels are encoded, trained, scored and calibrated."""
