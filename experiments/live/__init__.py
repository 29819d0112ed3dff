"""What a comparison shows while it runs."""
