"""The precision that a scan expects of its windows, beside the one it has on held-out genome."""
