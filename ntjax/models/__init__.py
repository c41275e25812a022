"""The transformer, its configuration and its classification heads."""
