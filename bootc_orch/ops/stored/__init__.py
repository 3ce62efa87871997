"""What is in a repository, and how it is kept."""
