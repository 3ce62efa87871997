"""What is kept: the store, what is in it, and what is known of it."""
