"""Hosts: deployments, origins, kernel arguments, boot entries, and the documents about them."""
