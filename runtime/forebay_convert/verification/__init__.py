"""Process B: loads what process A made, without any code of the user's, and compares."""
