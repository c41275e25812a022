"""The sections of the promoter study."""
