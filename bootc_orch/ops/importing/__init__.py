"""A pull: from an image elsewhere to a flattened tree with a ref."""
