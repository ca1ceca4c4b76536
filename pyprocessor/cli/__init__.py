"""What did the user ask on the command line, and what is printed? The only user of click and standard output."""
