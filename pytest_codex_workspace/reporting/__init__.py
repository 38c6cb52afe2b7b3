"""What is reported while long steps run: lines, a line that is rewritten, events."""
