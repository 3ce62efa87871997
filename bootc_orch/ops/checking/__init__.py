"""Find damage in repositories and systems, and mend it."""
