"""Where container engines may be: sockets, docker's contexts, podman's connections."""
