"""The databases of package managers, and the order of their versions."""
