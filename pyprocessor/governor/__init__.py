"""What is done about memory and pressure. Pure."""
