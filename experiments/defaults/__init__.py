"""The grid behind the defaults of `mini`."""
