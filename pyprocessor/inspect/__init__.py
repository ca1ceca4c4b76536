"""What a Source is, what is to become of its streams, and whether an output is what it should be."""
