"""Text: what a terminal can show, quantities, TOML in bounded time, YAML with line numbers."""
