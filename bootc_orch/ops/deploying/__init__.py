"""What a deployment is made of, and what a new one needs."""
