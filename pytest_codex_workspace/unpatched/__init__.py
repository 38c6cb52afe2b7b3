"""The clock and the network modules, out of the reach of what tests patch."""
