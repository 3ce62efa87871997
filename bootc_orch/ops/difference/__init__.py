"""What differs between two roots: packages, files, kernel."""
