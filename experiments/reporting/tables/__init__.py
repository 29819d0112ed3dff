"""The comparison as a table: terminal, Markdown, LaTeX, CSV."""
