"""ostree: its command line, and the files of its repositories and sysroots."""
