"""What `codex-workspace check` finds in a repository: findings, and the rules that read files."""
