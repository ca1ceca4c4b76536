"""What is asked of servers: the only room that talks HTTP. Its functions are called in processes of their own."""
