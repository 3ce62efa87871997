"""One module for each external program, its methods named for the verbs of that program."""
