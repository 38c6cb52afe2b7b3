"""How a workspace is made: layers, scripts, and the start from them."""
