"""A commit of a repository on the host, as an archive that contains a repository of its own."""
