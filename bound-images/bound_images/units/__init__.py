"""Read quadlet files, as the generator of podman reads them."""
