"""What prints, draws, and ends the process."""
