"""What users hold: the handle of a workspace, its processes, results and paths."""
