"""What is asked of the kernel: namespaces, mounts, filters, groups, interfaces."""
