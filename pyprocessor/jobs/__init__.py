"""What is known of a job while it waits and runs, which moves may it make, when is it tried again? Pure."""
