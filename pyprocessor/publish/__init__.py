"""How does a verified output get its final name? The only room that renames or removes files of the user."""
