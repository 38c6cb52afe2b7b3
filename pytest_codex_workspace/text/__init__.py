"""Text: what a terminal can show, quantities, YAML with line numbers."""
