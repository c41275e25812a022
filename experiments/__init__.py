"""Recipes: what was run, what came out, and the commands that repeat it."""
