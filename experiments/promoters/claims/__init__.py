"""The claims of the report, and the verdicts that the study's numbers give."""
