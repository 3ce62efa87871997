"""The programs that install boot loaders."""
