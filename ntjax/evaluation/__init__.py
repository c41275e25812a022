"""Evaluate models beyond a test set: probing, masked likelihood, genome scans."""
