"""What can be done: plan, sync, check, prune, explain, carry elsewhere."""
