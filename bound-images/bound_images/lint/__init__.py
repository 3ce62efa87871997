"""Find in the definitions of a root what goes wrong in practice."""
