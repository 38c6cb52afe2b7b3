"""Where layers are kept: on the engine, in a registry, in files."""
