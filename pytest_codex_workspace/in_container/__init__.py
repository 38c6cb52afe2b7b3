"""Programs that run inside the containers; images hold unmodified copies of these files."""
