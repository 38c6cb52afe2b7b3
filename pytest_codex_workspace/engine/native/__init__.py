"""An engine of Linux namespaces: no daemon, nothing to install."""
