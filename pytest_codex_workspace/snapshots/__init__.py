"""States of a workspace: how they differ, how one is kept, and how a workspace returns to it."""
