"""The hooks of pytest that this plugin adds for others, and calling them."""
