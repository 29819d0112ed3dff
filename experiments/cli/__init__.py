"""What the commands share: options, exit codes, lines for people."""
