"""Where images come from: their names, manifests, registries and credentials."""
