"""The program that does what needs namespaces: a process of its own, standard library only."""
