"""On which strand is the gene? The embedded default, and what few labels buy."""
