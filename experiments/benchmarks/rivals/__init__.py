"""What a user would pick instead of cnnzoo."""
