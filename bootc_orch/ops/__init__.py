"""One module for each use case; plans are pure, acts carry them out."""
