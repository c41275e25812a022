"""What a trained run looks at, and how well its view separates the classes."""
