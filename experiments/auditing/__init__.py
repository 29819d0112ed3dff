"""What the audit command says, draws and writes."""
