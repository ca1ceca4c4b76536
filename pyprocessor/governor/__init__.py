"""What is done about memory and pressure? Pure: readings in, decisions out."""
