"""The training step, its optimiser and the loop around it."""
