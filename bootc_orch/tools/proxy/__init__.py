"""``skopeo experimental-image-proxy``: the client of its protocol."""
