"""Options that commands of both programs share."""
