"""The rows, negatives and baselines that the promoter study's sections share."""
