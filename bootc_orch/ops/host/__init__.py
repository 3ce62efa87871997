"""What an administrator does with a host: one module a verb, and the transaction they share."""
