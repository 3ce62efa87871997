"""Images: their names, manifests and layers, and the refs they are stored under."""
