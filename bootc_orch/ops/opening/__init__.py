"""Open an image: what it is, who vouches for it, what of it is here, and what a pull will do."""
