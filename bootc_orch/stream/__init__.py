"""Work on streams of bytes, without processes: decompression, tar, ostree objects."""
